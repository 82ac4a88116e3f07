"""Slices make up one volume by their positions; refusals stand in test_dicom."""

from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread

from segpipe.images.dicom.seg.reading import read_seg
from segpipe.project.errors import DataError
from tests.support.dicoms import (
    ORIGIN,
    SPACING,
    VOXELS,
    load,
    oblique,
    write,
    write_series,
)


def test_positions_are_believed_and_not_the_thickness(tmp_path: Path) -> None:
    def change(slice_: Dataset, k: int) -> None:
        slice_.SliceThickness, slice_.SpacingBetweenSlices = 5, 5

    write_series(tmp_path, change=change)

    found = load(tmp_path)

    assert found.image.grid.spacing == pytest.approx(SPACING)
    (words,) = found.warnings
    assert "SliceThickness is 5 mm, but the slices lie 2.5 mm apart" in words


@pytest.mark.parametrize(
    ("thickness", "between", "gap"), [(3, None, 3), (3, 4, 4), (None, 4, 4)]
)
def test_a_single_slice_is_as_thick_as_it_says(
    thickness: float | None, between: float | None, gap: float, tmp_path: Path
) -> None:
    def change(slice_: Dataset, k: int) -> None:
        slice_.SliceThickness, slice_.SpacingBetweenSlices = thickness, between

    write_series(tmp_path, change=change, slices=[2])

    found = load(tmp_path).image

    assert found.array.shape == (1, 5, 4, 1)
    assert found.grid.spacing == pytest.approx((0.75, 1.25, gap))
    assert (found.array[0, :, :, 0] == VOXELS[:, :, 2]).all()


def write_rounded(
    folder: Path,
    degrees: tuple[float, float, float],
    gap: float,
    *,
    slices: list[int] | None = None,
    decimals: int = 1,
) -> np.ndarray:
    """Slices whose positions are rounded; returns the true step in LPS+."""
    turn = oblique(degrees)

    def change(slice_: Dataset, k: int) -> None:
        place = np.array(ORIGIN) + k * gap * turn[:, 2]
        slice_.ImagePositionPatient = [f"{n:.{decimals}f}" for n in place]
        slice_.SliceThickness = gap

    write_series(folder, directions=turn, change=change, slices=slices)
    return np.asarray(turn[:, 2] * gap)


@pytest.mark.parametrize("gap", [0.625, 1.25, 3.27])
@pytest.mark.parametrize("degrees", [(0, 0, 0), (10.8, -3, 25), (90, 0, 180)])
def test_positions_rounded_to_a_tenth_are_one_regular_series(
    degrees: tuple[float, float, float], gap: float, tmp_path: Path
) -> None:
    step = write_rounded(tmp_path / "series", degrees, gap)

    found = load(tmp_path / "series")

    affine = found.image.grid.affine
    assert (found.image.array == VOXELS[None]).all()
    assert found.warnings == ()
    assert found.image.grid.spacing == pytest.approx((0.75, 1.25, gap), abs=1e-6)
    assert affine[:3, 2] == pytest.approx(step * (-1, -1, 1), abs=1e-3)
    assert affine[:3, 3] == pytest.approx(np.array(ORIGIN) * (-1, -1, 1), abs=0.05)
    array = np.zeros(VOXELS.shape, np.int16)
    array[1:4, 1:3, [0, 2, 3, 5]] = 3
    write(tmp_path / "seg.dcm", found, array)
    again = read_seg(tmp_path / "seg.dcm", found).label.array
    assert ((again > 0) == (array > 0)).all()


def test_a_missing_slice_is_no_rounding(tmp_path: Path) -> None:
    write_rounded(tmp_path, (0, 0, 0), 1.25, slices=[0, 1, 2, 4, 5])

    with pytest.raises(DataError, match="found 1 missing between"):
        load(tmp_path)


def test_an_uneven_gap_of_exact_positions_is_no_rounding(tmp_path: Path) -> None:
    for k, file in enumerate(write_series(tmp_path)):
        slice_ = dcmread(file)
        slice_.ImagePositionPatient[2] += 0.05 * (k == 3)
        slice_.save_as(file)

    with pytest.raises(DataError, match="found an uneven gap"):
        load(tmp_path)
