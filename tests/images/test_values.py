"""Images come out finite in float32; labels whole, signed and of at most 32 bits."""

from pathlib import Path

import numpy as np
import pytest

from segpipe.images.values import Legend, Unions, finite_float32, whole_labels
from segpipe.project.errors import DataError

PATH = Path("scan.nii")


def labels(*values: float, kind: str) -> np.ndarray:
    return np.array(values, dtype=kind).reshape(-1, 1, 1)


@pytest.mark.parametrize(
    "kind", ["u1", "i1", "u2", "i2", ">i2", "u4", "i4", "i8", "u8", "f4", "f8", "f2"]
)
def test_every_type_keeps_its_values_and_becomes_signed(kind: str) -> None:
    found = whole_labels(PATH, labels(0, 1, 100, kind=kind))

    assert found.ravel().tolist() == [0, 1, 100]
    assert np.issubdtype(found.dtype, np.signedinteger)
    assert found.dtype.itemsize <= 4


def test_zero_less_one_is_minus_one() -> None:
    found = whole_labels(PATH, labels(0, kind="u1"))

    assert (found - found.dtype.type(1)).item() == -1


def test_rounding_errors_of_floats_are_mended() -> None:
    found = whole_labels(PATH, labels(0.9995, 2.0004, kind="f8"))

    assert found.ravel().tolist() == [1, 2]


@pytest.mark.parametrize("value", [0.5, 1.002, np.nan, np.inf])
def test_fractions_are_refused_with_the_likely_cause(value: float) -> None:
    with pytest.raises(DataError, match=r"scan\.nii: expected whole labels.*linear"):
        whole_labels(PATH, labels(1, value, kind="f4"))


@pytest.mark.parametrize("value", [2.0**31, -(2.0**31) - 1])
def test_more_than_32_bits_are_refused(value: float) -> None:
    with pytest.raises(DataError, match="renumber the structures"):
        whole_labels(PATH, labels(0, value, kind="i8"))


@pytest.mark.parametrize("kind", ["u1", ">i2", "i8", "f2", "f8"])
def test_intensities_become_contiguous_float32(kind: str) -> None:
    found = finite_float32(PATH, np.arange(6).reshape(2, 3).astype(kind).T)

    assert found.dtype == np.float32
    assert found.flags.c_contiguous
    assert found.tolist() == [[0, 3], [1, 4], [2, 5]]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e39])
def test_values_beyond_float32_are_refused_and_counted(value: float) -> None:
    with pytest.raises(DataError, match=r"scan\.nii: expected finite voxels, found 2 "):
        finite_float32(PATH, np.array([value, 1.0, value]))


NESTED = Legend(
    ("background", "whole", "core"),
    (0, 5, 7, 9),
    Unions(values=((5, 7, 9), (7,)), order=(5, 7)),
)
CLASSES = Legend(("background", "liver", "spleen"), (0, 3, 7), None)


def test_a_structure_is_the_union_of_its_values() -> None:
    drawn = np.array([0, 5, 7, 9, 7, 255])

    assert NESTED.mask(drawn, 1).tolist() == [False, True, True, True, True, False]
    assert NESTED.mask(drawn, 2).tolist() == [False, False, True, False, True, False]
    assert NESTED.topmost(drawn).tolist() == [0, 1, 2, 1, 2, 0]
    assert NESTED.count({0: 1, 5: 10, 7: 200, 9: 3000}) == {"whole": 3210, "core": 200}
    assert NESTED.classes == ("background", "5", "7", "9")
    assert NESTED.values_of("core") == (7,)


def test_without_unions_a_structure_is_its_value() -> None:
    drawn = np.array([0, 3, 7, 255])

    assert CLASSES.mask(drawn, 2).tolist() == [False, False, True, False]
    assert CLASSES.topmost(drawn).tolist() == [0, 1, 2, 0]
    assert CLASSES.count({3: 4}) == {"liver": 4, "spleen": 0}
    assert CLASSES.classes == CLASSES.structures
    assert (CLASSES.table == np.eye(3, dtype=bool)).all()


@pytest.mark.parametrize("legend", [NESTED, CLASSES])
def test_class_numbers_have_the_same_structures(legend: Legend) -> None:
    numbers = np.arange(len(legend.values))
    drawn = np.array(legend.values)

    for structure in range(len(legend.structures)):
        found = legend.indexed.mask(numbers, structure)
        assert (found == legend.mask(drawn, structure)).all()
        assert (found == legend.table[structure]).all()
    assert (legend.indexed.topmost(numbers) == legend.topmost(drawn)).all()
