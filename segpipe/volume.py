"""Image and LabelMap: voxels on a Grid."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int

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

    array: Int[np.ndarray, "i j k"]
    grid: Grid

    def __post_init__(self) -> None:
        assert self.array.shape == self.grid.shape
