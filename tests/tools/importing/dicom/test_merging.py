"""Labels of one series become one label map, or both files are named."""

from pathlib import Path

import numpy as np
import pytest

from segpipe.project.errors import DataError
from segpipe.tools.importing.dicom.merging import read_labels, renumbered
from tests.support.dicoms import SHAPE
from tests.support.labelled_dicoms import add_rtstruct, add_seg, add_series, drawn


def test_different_structures_that_do_not_overlap_are_merged(tmp_path: Path) -> None:
    image = add_series(tmp_path / "ct", 1)
    files = (
        add_seg(tmp_path / "a.dcm", image, drawn(spleen=False), {1: "liver"}),
        add_seg(tmp_path / "b.dcm", image, drawn(liver=False), {2: "spleen"}),
    )
    found = read_labels(files, image, only=frozenset())

    assert (found.label.array == drawn()).all()
    assert found.structures == {"liver": 1, "spleen": 2}
    assert found.label.grid is image.image.grid


def test_a_structure_set_joins_a_segmentation(tmp_path: Path) -> None:
    image = add_series(tmp_path / "ct", 1)
    seg = add_seg(tmp_path / "a.dcm", image, drawn(spleen=False), {1: "liver"})
    found = read_labels(
        (seg, add_rtstruct(tmp_path / "rt.dcm", image)), image, only=frozenset()
    )

    expected = drawn(spleen=False)
    expected[3:5, 0:2, 4] = 2
    assert (found.label.array == expected).all()
    assert found.structures == {"liver": 1, "cord": 2}


def test_one_structure_in_two_files_is_refused_with_both(tmp_path: Path) -> None:
    image = add_series(tmp_path / "ct", 1)
    files = (
        add_seg(tmp_path / "a.dcm", image, drawn()),
        add_seg(tmp_path / "b.dcm", image, drawn(spleen=False), {1: "liver"}),
    )
    with pytest.raises(DataError, match=r"b\.dcm: .*a\.dcm .* found 'liver' in both"):
        read_labels(files, image, only=frozenset())


def test_structures_that_overlap_are_refused_with_both_files(tmp_path: Path) -> None:
    image = add_series(tmp_path / "ct", 1)
    shifted = np.roll(drawn(spleen=False), 2, axis=0)  # i 3 of 1, 2, 3 stays
    files = (
        add_seg(tmp_path / "a.dcm", image, drawn()),
        add_seg(tmp_path / "b.dcm", image, shifted, {1: "tumour"}),
    )
    words = r"b\.dcm: .*a\.dcm .* found 'liver' and 'tumour' overlapping in 4 voxels"
    with pytest.raises(DataError, match=words):
        read_labels(files, image, only=frozenset())


def test_names_get_other_values() -> None:
    array = np.zeros(SHAPE, np.int16)
    array[0], array[1] = 5, 2
    found = renumbered(array, {"a": 5, "b": 2}, {"a": -3, "b": 900, "c": 1})

    assert (found[0] == -3).all()
    assert (found[1] == 900).all()
    assert (found[2:] == 0).all()
