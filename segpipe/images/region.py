"""Region: the voxels of an image that are not empty, their mean and deviation."""

import itertools
import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float32

from segpipe.images.volume import ImageStream
from segpipe.project.documents import Document


class Region(Document):
    """The voxels of a case over which mean and deviation are taken.

    A voxel is empty if every channel has exactly its background value there.

    Attributes:
        kind: ``box`` is the bounding box of the voxels that are not empty; ``voxels``
            are the voxels that are not empty.
        background: Background value of each channel.
    """

    kind: Literal["box", "voxels"]
    background: tuple[float, ...]


def is_missing(channel: Float32[np.ndarray, "..."]) -> bool:
    """Whether a channel is one that the image lacks: NaN from its first voxel on."""
    return bool(channel.size) and bool(np.isnan(channel.flat[0]))


def background_of(array: Float32[np.ndarray, "channel i j k"]) -> tuple[float, ...]:
    """Background value of each channel: the value of at least half of the corners.

    It is 0 for a channel whose corners differ.
    """
    ends = ((0, size - 1) if size > 1 else (0,) for size in array.shape[1:])
    places = list(itertools.product(*ends))
    return tuple(
        usual([float(channel[place]) for place in places]) for channel in array
    )


def usual(values: Sequence[float]) -> float:
    """The value that at least half of the values have, of two the lower; 0 if none."""
    known, counts = np.unique(values, return_counts=True)
    most = int(counts.argmax())
    return float(known[most]) if 2 * counts[most] >= len(values) else 0.0


def filled_voxels(
    array: Float32[np.ndarray, "channel i j k"],
    background: Sequence[float],
    *,
    tolerance: float = 0.0,
) -> Bool[np.ndarray, "i j k"]:
    """Where a channel differs from its background value by more than the tolerance.

    A channel that the image lacks, which is NaN, differs nowhere.
    """
    filled = np.zeros(array.shape[1:], dtype=bool)
    for channel, value in zip(array, background, strict=True):
        if is_missing(channel):
            continue
        if tolerance:
            filled |= np.abs(channel - np.float32(value)) > tolerance
        else:
            filled |= channel != np.float32(value)
    return filled


def region_voxels(
    array: Float32[np.ndarray, "channel i j k"], region: Region, *, tolerance: float
) -> Bool[np.ndarray, "i j k"]:
    """Where the voxels of a region lie.

    Args:
        array: The image.
        region: The region.
        tolerance: A smaller difference from the background value is rounding.
    """
    filled = filled_voxels(array, region.background, tolerance=tolerance)
    if region.kind == "box":
        filled[box_of(filled)] = True
    return filled


def box_of(filled: Bool[np.ndarray, "i j k"]) -> tuple[slice, slice, slice]:
    """The bounding box of a mask, without voxels if the mask is empty."""
    return _span(filled, (1, 2)), _span(filled, (0, 2)), _span(filled, (0, 1))


def _span(filled: Bool[np.ndarray, "..."], across: tuple[int, ...]) -> slice:
    """From the first to the last place of a mask along the axis that is left over."""
    places = np.flatnonzero(filled.any(across))
    return slice(int(places[0]), int(places[-1]) + 1) if len(places) else slice(0, 0)


def box_share(array: Float32[np.ndarray, "channel i j k"]) -> float:
    """Share of the voxels of an image in the box around those that are not empty."""
    box = box_of(filled_voxels(array, background_of(array)))
    return float(np.prod([span.stop - span.start for span in box]) / array[0].size)


class Moments:
    """Mean and standard deviation of voxels that are added part by part.

    Source:
        Chan 1983, doi:10.1080/00031305.1983.10483115: means and sums of squares of
        parts give those of the whole.
    """

    def __init__(self) -> None:
        self._count, self._mean, self._squares = 0, 0.0, 0.0

    @property
    def count(self) -> int:
        """Number of the voxels."""
        return self._count

    def add(self, part: Float32[np.ndarray, "..."]) -> None:
        """Add voxels, in double precision."""
        if part.size == 0:
            return
        values = part.astype(np.float64)
        mean = float(values.mean())
        values -= mean
        squares = float(np.square(values, out=values).sum())
        self._join(values.size, mean, squares)

    def add_copies(self, count: int, value: float) -> None:
        """Add voxels of one value."""
        if count:
            self._join(count, value, 0.0)

    def _join(self, size: int, mean: float, squares: float) -> None:
        apart, count = mean - self._mean, self._count + size
        self._squares += squares
        self._squares += apart * apart * self._count * size / count
        self._mean += apart * size / count
        self._count = count

    @property
    def mean_and_deviation(self) -> tuple[float, float]:
        """Mean and standard deviation of all voxels."""
        return self._mean, math.sqrt(self._squares / max(1, self._count))


def measure_region(source: ImageStream, region: Region) -> list[tuple[float, float]]:
    """Mean and deviation of each channel over a region, in one reading of the source.

    Empty voxels are copies of the background, so the box needs no second reading. An
    image of empty voxels only has the background for its mean, and no deviation.

    Args:
        source: Image on its own grid, before it is resampled.
        region: The region.
    """
    tables = [Moments() for _ in region.background]
    i, j, _ = source.grid.shape
    seen = np.zeros((i, j), dtype=bool)
    slices = []
    for part in source.read():
        filled = filled_voxels(part, region.background)
        whole = bool(filled.all())
        for channel, table in zip(part, tables, strict=True):
            table.add(channel if whole else channel[filled])
        seen |= filled.any(2)
        slices.append(filled.any((0, 1), keepdims=True))
    count = tables[0].count
    along_k = np.concatenate(slices, axis=2)
    spans = [_span(seen, (1,)), _span(seen, (0,)), _span(along_k, (0, 1))]
    voxels = math.prod(span.stop - span.start for span in spans)
    background = np.array(region.background, dtype=np.float32).tolist()
    for table, value in zip(tables, background, strict=True):
        if not count:
            table.add_copies(1, value)
        elif region.kind == "box":
            table.add_copies(voxels - count, value)
    return [table.mean_and_deviation for table in tables]
