"""Slices make up one volume by their positions; refusals stand in test_dicom."""

from pathlib import Path

import pytest
from pydicom import Dataset

from tests.support.dicoms import SPACING, VOXELS, load, write_series


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
