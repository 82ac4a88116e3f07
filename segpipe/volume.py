"""Image and LabelMap: voxels on a Grid."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Integer

from segpipe.grid import Grid


@dataclass(frozen=True, eq=False)
class Image:
    """What was measured; may be interpolated.

    Attributes:
        array: Intensities, one channel after the other.
        grid: Where the voxels lie.
    """

    array: Float32[np.ndarray, "channel i j k"]
    grid: Grid

    def __post_init__(self) -> None:
        assert self.array.shape[1:] == self.grid.shape


@dataclass(frozen=True, eq=False)
class LabelMap:
    """What was drawn or predicted; nearest neighbour only.

    Attributes:
        array: The value of the structure at each voxel, as the data set writes it.
        grid: Where the voxels lie.
    """

    array: Integer[np.ndarray, "i j k"]
    grid: Grid

    def __post_init__(self) -> None:
        assert self.array.shape == self.grid.shape


def mirrored_window(
    array: np.ndarray, start: tuple[int, int, int], size: tuple[int, int, int]
) -> np.ndarray:
    """A window of a volume that may reach beyond its edges, which act as mirrors.

    Reads no more of a memory-mapped array than the window needs.

    Args:
        array: The volume; its last three axes are i, j, k.
        start: First voxel of the window; may be negative.
        size: Voxels of the window; may be larger than the volume.

    Returns:
        A copy of the window in the array's type; beyond an edge the volume goes on
        mirrored at the edge voxel, which is not repeated.

    Source:
        Mirroring at image borders: Ronneberger 2015, arXiv:1505.04597, section 2.
    """
    block = array
    for axis in range(3):
        place = array.ndim - 3 + axis
        indices = _mirrored_indices(start[axis], size[axis], array.shape[place])
        low, high = int(indices.min()), int(indices.max()) + 1
        block = block[(slice(None),) * place + (slice(low, high),)]
        if high - low != size[axis] or (np.diff(indices) != 1).any():
            block = np.take(block, indices - low, axis=place)
    return np.array(block)


def _mirrored_indices(start: int, size: int, length: int) -> np.ndarray:
    if length == 1:
        return np.zeros(size, dtype=np.intp)
    period = 2 * (length - 1)
    indices = np.arange(start, start + size) % period
    return np.minimum(indices, period - indices)
