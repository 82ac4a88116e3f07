"""Slices of a tilted gantry, brought to a straight grid."""

import numpy as np
from jaxtyping import Float32
from scipy import ndimage

from segpipe.grid import Grid


def straightened(
    array: Float32[np.ndarray, "i j k"], grid: Grid
) -> tuple[Float32[np.ndarray, "more_i more_j k"], Grid]:
    """Slices of a tilted gantry on a grid at right angles that holds all of them.

    Each slice is shifted in its own plane, linearly; what no slice shows gets the
    lowest value of the volume (air, in a CT).
    """
    straight = _straight(grid)
    starts = np.array([(0.0, 0.0, float(k)) for k in range(grid.shape[2])])
    shifts = straight.indices_of(grid.points_of(starts))[:, :2]
    low = np.floor(shifts.min(axis=0) + 1e-6)
    high = np.ceil(shifts.max(axis=0) - 1e-6)
    i, j = (int(n) for n in grid.shape[:2] + high - low)
    lowest = float(array.min())
    canvas = np.full((i, j, grid.shape[2]), lowest, np.float32)
    for k, shift in enumerate(shifts - low):
        plane = np.full((i, j), lowest, np.float32)
        plane[: grid.shape[0], : grid.shape[1]] = array[:, :, k]
        ndimage.shift(
            plane, shift, canvas[:, :, k], order=1, mode="grid-constant", cval=lowest
        )
    affine = straight.affine.copy()
    affine[:3, 3] = straight.points_of(np.array([[*low, 0.0]]))[0]
    return canvas, Grid((i, j, grid.shape[2]), affine, "mm")


def _straight(grid: Grid) -> Grid:
    """The grid with its slices along their normal, at the same distance."""
    affine = grid.affine.copy()
    normal = np.cross(affine[:3, 0], affine[:3, 1])
    normal /= np.linalg.norm(normal)
    affine[:3, 2] = normal * (normal @ affine[:3, 2])
    return Grid(grid.shape, affine, "mm")
