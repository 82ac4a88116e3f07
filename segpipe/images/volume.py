"""Image, LabelMap and ImageStream: voxels on a Grid, whole or slice by slice."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Integer

from segpipe.images.grid import Grid, Triple

SLICES = 16  # read at a time


@dataclass(frozen=True, eq=False)
class Image:
    """A measured image; may be interpolated.

    Attributes:
        array: Intensities of each channel.
        grid: Where the voxels lie.
    """

    array: Float32[np.ndarray, "channel i j k"]
    grid: Grid

    def __post_init__(self) -> None:
        assert self.array.shape[1:] == self.grid.shape


@dataclass(frozen=True, eq=False)
class LabelMap:
    """A drawn or predicted label map; interpolated by nearest neighbour only.

    Attributes:
        array: The value of the structure at each voxel, as in the data set's files.
        grid: Where the voxels lie.
    """

    array: Integer[np.ndarray, "i j k"]
    grid: Grid

    def __post_init__(self) -> None:
        assert self.array.shape == self.grid.shape


@dataclass(frozen=True, eq=False)
class ImageStream:
    """An image that is read slice by slice, any number of times, and never whole.

    Attributes:
        grid: Where the voxels lie.
        channels: Number of channels.
        read: Starts again and yields all voxels, some slices along k at a time.
    """

    grid: Grid
    channels: int
    read: Callable[[], Iterator[Float32[np.ndarray, "channel i j _"]]]

    @classmethod
    def of(cls, image: Image) -> "ImageStream":
        """Build a stream from an image in memory."""

        def read() -> Iterator[np.ndarray]:
            for start in range(0, image.grid.shape[2], SLICES):
                yield image.array[..., start : start + SLICES]

        return cls(image.grid, len(image.array), read)


def mirrored_window(array: np.ndarray, start: Triple, size: Triple) -> np.ndarray:
    """Cut a window out of a volume, mirrored where it reaches beyond the edges.

    Reads only the part of a memory-mapped array that the window needs.

    Args:
        array: The volume; its last three axes are i, j, k.
        start: First voxel of the window; may be negative.
        size: Voxels of the window; may be larger than the volume.

    Returns:
        A copy of the window in the array's type. Beyond an edge the volume is mirrored
        at the edge voxel, which is not repeated.

    Source:
        Mirroring at image borders: Ronneberger 2015, arXiv:1505.04597, section 2.
    """
    i, j, k = (
        mirrored_indices(start[axis], size[axis], array.shape[array.ndim - 3 + axis])
        for axis in range(3)
    )
    return np.array(take_box(array, (i, j, k)))


def take_box(
    array: np.ndarray, indices: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> np.ndarray:
    """The voxels at the indices along the last three axes; a view where possible."""
    block = array
    for axis, along in enumerate(indices):
        place = array.ndim - 3 + axis
        low, high = int(along.min()), int(along.max()) + 1
        block = block[(slice(None),) * place + (slice(low, high),)]
        if high - low != len(along) or (np.diff(along) != 1).any():
            block = np.take(block, along - low, axis=place)
    return block


def mirrored_indices(start: int, size: int, length: int) -> np.ndarray:
    """Indices into an axis for consecutive voxels, mirrored beyond its ends.

    The voxel at an end, where the axis is mirrored, is not repeated.
    """
    if length == 1:
        return np.zeros(size, dtype=np.intp)
    period = 2 * (length - 1)
    indices = np.arange(start, start + size) % period
    return np.minimum(indices, period - indices)


class RollingSlices:
    """Consecutive slices of a stream, with only a moving window in memory."""

    def __init__(self, parts: Iterator[np.ndarray], *, axis: int) -> None:
        self._parts = parts
        self._axis = axis
        self._held: np.ndarray | None = None
        self._start = 0

    def window(self, start: int, stop: int) -> np.ndarray:
        """The slices from start to stop; start never decreases.

        Slices before start are released. Do not write to the result.
        """
        lead = (slice(None),) * self._axis
        held = [] if self._held is None else [self._held]
        end = self._start + sum(part.shape[self._axis] for part in held)
        while end < stop:
            part = next(self._parts)
            held.append(part)
            end += part.shape[self._axis]
        whole = held[0] if len(held) == 1 else np.concatenate(held, axis=self._axis)
        self._held = whole[(*lead, slice(start - self._start, None))]
        self._start = start
        return self._held[(*lead, slice(0, stop - start))]

    def ahead(self, start: int, stop: int) -> np.ndarray:
        """The slices from start to stop, as window, but nothing is released."""
        lead = (slice(None),) * self._axis
        held = self.window(self._start, stop)
        return held[(*lead, slice(start - self._start, None))]
