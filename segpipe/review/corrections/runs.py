"""Runs: the voxels that a brush changed, as a page sends them."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Integer

from segpipe.project.errors import DataError

MOST = 100_000  # runs of one correction
OFTEN = 8  # times that all of them together may cover the image
Run = tuple[int, int, int]  # first voxel, number of voxels, value


def apply_runs(
    mask: Integer[np.ndarray, "i j k"], runs: Sequence[Run], *, values: Sequence[int]
) -> Integer[np.ndarray, "i j k"]:
    """A mask after the changes of a brush; of two runs over a voxel the later counts.

    Args:
        mask: The mask that was shown, as its file has it.
        runs: First voxel, number of voxels, value. Voxels are counted from 0 in C
            order: k is the fastest axis, voxel (i, j, k) is number (i * J + j) * K + k.
        values: The values that a voxel may have.

    Raises:
        DataError: If a run leaves the image or has another value, or if they are many.
    """
    if len(runs) > MOST:
        raise DataError(
            f"runs: expected at most {MOST}, found {len(runs)}; send the correction as "
            "a file"
        )
    size, whole = mask.size, 0
    for start, length, value in runs:
        whole += length
        if start < 0 or length < 1 or start + length > size or whole > OFTEN * size:
            raise DataError(
                f"runs: expected voxels from 0 to {size - 1}, found {length} from "
                f"{start} on; the page shows another image: open it again"
            )
        if value not in values:
            raise DataError(
                f"runs: expected the values {', '.join(map(str, values))}, found "
                f"{value}; draw with one of the structures"
            )
    flat = mask.ravel(order="C").copy()
    for start, length, value in runs:
        flat[start : start + length] = value
    return flat.reshape(mask.shape)
