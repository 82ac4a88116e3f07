"""Instances: a mask of each becomes one map of ids."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from segpipe.images.grid import SAME_GRID, Grid
from segpipe.images.volume import LabelMap
from segpipe.project.errors import DataError
from segpipe.tools.importing.reading.painting import Painting


def join_masks(
    masks: Iterable[tuple[Path, LabelMap]],
    *,
    overlap: str | None,
    dropped: dict[Path, list[str]],
) -> LabelMap:
    """Number the masks from 1 in their order.

    Args:
        masks: The mask of each instance, and its file.
        overlap: Which of two instances a voxel of both belongs to: first or last; None
            refuses it.
        dropped: Receives by file what the map does not hold, in sentences.

    Raises:
        DataError: If masks lie on different grids, or overlap.
    """
    painting: Painting | None = None
    grid: Grid | None = None
    files: list[Path] = []
    for file, mask in masks:
        if painting is None or grid is None:
            grid = mask.grid
            painting = Painting(np.zeros(grid.shape, np.int32), overlap)
        check_grid(file, mask.grid, first=(files or [file])[0], wanted=grid)
        files.append(file)
        inside = mask.array != 0
        number = painting.paint(inside, len(files))
        if number and overlap is None:
            other = files[min(painting.contested)[0] - 1]
            raise DataError(
                f"{file}: expected each voxel in one instance, found {number} that are "
                f"in others, as in {other.name}; draw them apart, or give --overlap "
                "first or --overlap last (in the order of the files' names)"
            )
        if number:
            dropped[file].append(
                f"{number} voxels of two instances, which the {overlap} has"
            )
        if not inside.any():
            dropped[file].append("an empty mask")
    assert painting is not None
    assert grid is not None
    return LabelMap(painting.array, grid)


def check_grid(file: Path, grid: Grid, *, first: Path, wanted: Grid) -> None:
    """Check that a mask lies on the grid of the first mask of its case.

    Raises:
        DataError: If it does not.
    """
    if not wanted.matches(grid, tolerance=SAME_GRID):
        raise DataError(
            f"{file}: expected the grid of {first}, shape {wanted.shape}, found shape "
            f"{grid.shape} or another place; export all masks of a case on one grid"
        )
