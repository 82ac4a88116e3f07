"""The geometry of a NIfTI header: sform, qform and unit, and their faults."""

import math
from pathlib import Path

import nibabel as nib
import numpy as np

from segpipe.images.contract import check_straight
from segpipe.images.grid import Grid, Triple
from segpipe.project.errors import DataError

# qform and sform may differ by rounding; real disagreements are much larger.
FORMS_TOLERANCE_VOXELS = 0.01
FLATTEST = 1e-3  # three unit axes that span a smaller volume lie in a plane
MM_PER_UNIT = {1: 1000.0, 3: 0.001}  # xyzt_units: metre, micron; all others are mm


def nifti_shape(path: Path, image: nib.Nifti1Image) -> Triple:
    """The shape of one channel, without trailing axes of size 1; a plane gets one k.

    Raises:
        DataError: If there are more than three axes, fewer than two, or no voxels.
    """
    shape = image.shape
    if len(shape) > 3 and all(size == 1 for size in shape[3:]):
        shape = shape[:3]
    if len(shape) > 3 or len(shape) < 2 or 0 in shape:
        raise DataError(
            f"{path}: expected an image of 2 or 3 axes, found shape {image.shape}; "
            "write each time point or channel as a file of its own"
        )
    i, j, k = (*shape, 1)[:3]
    return i, j, k


def nifti_grid(path: Path, image: nib.Nifti1Image, shape: Triple) -> Grid:
    """The grid by the sform if it has a code, else by the qform.

    Raises:
        DataError: If there is no geometry, or if it is flat, sheared or contradictory.
    """
    grid = check_straight(path, Grid(shape, _affine(path, image), "mm"))
    coded = image.header["qform_code"] > 0 and image.header["sform_code"] > 0
    if coded and not forms_agree(path, image, grid):
        other = Grid(shape, _qform(path, image), "mm")
        raise DataError(
            f"{path}: expected qform and sform to agree, found corners "
            f"{grid.distance(other):.4g} mm apart; keep the right one and set the "
            "code of the other to 0"
        )
    return grid


def forms_agree(path: Path, image: nib.Nifti1Image, grid: Grid) -> bool:
    """Whether the qform agrees with the grid except for rounding.

    The header stores three numbers of a unit quaternion in float32. The fourth is
    computed from them, and near a half turn it is only precise to the root of theirs.
    """
    other = Grid(grid.shape, _qform(path, image), "mm")
    rounding = 4 * float(np.finfo(np.float32).eps)
    b, c, d = (float(image.header[f"quatern_{name}"]) for name in "bcd")
    fourth = math.sqrt(max(1 - b * b - c * c - d * d, rounding))
    extent = float(np.linalg.norm(grid.corners[-1] - grid.corners[0]))
    tolerance = (
        FORMS_TOLERANCE_VOXELS * min(grid.spacing)
        + 2 * rounding / fourth * extent
        + rounding * float(np.abs(grid.corners).max())
    )
    return grid.matches(other, tolerance=tolerance)


def _qform(path: Path, image: nib.Nifti1Image) -> np.ndarray:
    try:
        affine = np.asarray(image.get_qform(), np.float64)
    except ValueError as error:
        raise DataError(
            f"{path}: expected a qform that is a rotation, found {error}; "
            "set the qform again, or its code to 0 if the sform is right"
        ) from error
    return _in_mm(image, affine)


def _in_mm(image: nib.Nifti1Image, affine: np.ndarray) -> np.ndarray:
    factor = MM_PER_UNIT.get(int(image.header["xyzt_units"]) & 7, 1.0)
    scaled = affine.copy()
    scaled[:3] *= factor
    return scaled


def _affine(path: Path, image: nib.Nifti1Image) -> np.ndarray:
    header = image.header
    if header["qform_code"] <= 0 and header["sform_code"] <= 0:
        raise DataError(
            f"{path}: expected a position in space, found qform and sform code 0; "
            "set one of them in the program that writes the image"
        )
    if header["sform_code"] > 0:
        affine = _in_mm(image, np.asarray(image.get_sform(), np.float64))
    else:
        affine = _qform(path, image)
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    if (
        not np.isfinite(affine).all()
        or (lengths == 0).any()
        or abs(np.linalg.det(affine[:3, :3] / lengths)) < FLATTEST
    ):
        raise DataError(
            f"{path}: expected an affine that can be inverted, found "
            f"{affine[:3].tolist()}; set sform or qform again"
        )
    return affine
