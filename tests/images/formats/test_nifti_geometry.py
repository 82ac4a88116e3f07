"""Where voxels lie: all that a header can say, and can say wrongly."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from segpipe.images.formats.nifti_geometry import forms_agree, nifti_grid, nifti_shape
from segpipe.project.errors import DataError

PATH = Path("scan.nii")
AFFINE = np.diag([0.5, 0.6, 2.0, 1.0])


def image(
    *, sform: int = 1, qform: int = 1, affine: np.ndarray = AFFINE
) -> nib.Nifti1Image:
    made = nib.Nifti1Image(np.zeros((4, 5, 6), np.uint8), affine)
    made.set_sform(affine, code=sform)
    made.set_qform(affine, code=qform)
    return made


@pytest.mark.parametrize(("sform", "qform"), [(1, 1), (1, 0), (0, 1), (4, 2)])
def test_either_form_is_enough(sform: int, qform: int) -> None:
    grid = nifti_grid(PATH, image(sform=sform, qform=qform), (4, 5, 6))

    assert grid.spacing == pytest.approx((0.5, 0.6, 2.0))


def test_no_form_is_no_position() -> None:
    with pytest.raises(DataError, match="qform and sform code 0"):
        nifti_grid(PATH, image(sform=0, qform=0), (4, 5, 6))


def test_two_forms_that_contradict_each_other_are_refused() -> None:
    made = image()
    other = AFFINE.copy()
    other[0, 3] = 1.0
    made.set_qform(other, code=1)

    with pytest.raises(DataError, match="corners 1 mm apart"):
        nifti_grid(PATH, made, (4, 5, 6))
    made.header["qform_code"] = 0
    assert nifti_grid(PATH, made, (4, 5, 6)).affine[0, 3] == 0


@pytest.mark.parametrize(("unit", "factor"), [("meter", 1000), ("micron", 0.001)])
def test_other_units_become_mm(unit: str, factor: float) -> None:
    made = image()
    made.header.set_xyzt_units(unit)

    grid = nifti_grid(PATH, made, (4, 5, 6))
    assert grid.spacing == pytest.approx((0.5 * factor, 0.6 * factor, 2 * factor))


def test_a_shear_is_refused() -> None:
    sheared = AFFINE.copy()
    sheared[0, 1] = 0.1

    with pytest.raises(DataError, match="expected axes at right angles"):
        nifti_grid(PATH, image(affine=sheared, qform=0), (4, 5, 6))


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_an_affine_that_cannot_be_inverted_is_refused(value: float) -> None:
    made = image(qform=0)
    broken = AFFINE.copy()
    broken[2, 2] = value
    made.header["srow_z"] = broken[2]

    with pytest.raises(DataError, match="an affine that can be inverted"):
        nifti_grid(PATH, made, (4, 5, 6))


@pytest.mark.parametrize("seed", range(20))
def test_rounding_of_a_turned_qform_is_no_contradiction(seed: int) -> None:
    """Near half a turn the quaternion loses half of its digits."""
    rng = np.random.default_rng(seed)
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    affine = np.eye(4)
    affine[:3, :3] = turn * rng.uniform(0.3, 3, 3)
    affine[:3, 3] = rng.uniform(-300, 300, 3)
    made = image(affine=affine)

    grid = nifti_grid(PATH, made, (4, 5, 6))
    assert forms_agree(PATH, made, grid)


@pytest.mark.parametrize(
    ("shape", "read"),
    [((4, 5), (4, 5, 1)), ((4, 5, 6), (4, 5, 6)), ((4, 5, 6, 1, 1), (4, 5, 6))],
)
def test_axes_of_one_voxel_at_the_end_go(
    shape: tuple[int, ...], read: tuple[int, int, int]
) -> None:
    made = nib.Nifti1Image(np.zeros(shape, np.uint8), AFFINE)

    assert nifti_shape(PATH, made) == read


@pytest.mark.parametrize("shape", [(4, 5, 6, 2), (4,), (4, 0, 6)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    made = nib.Nifti1Image(np.zeros(shape, np.uint8), AFFINE)

    with pytest.raises(DataError, match="an image of 2 or 3 axes"):
        nifti_shape(PATH, made)
