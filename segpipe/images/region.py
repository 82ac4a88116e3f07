"""Region: the voxels of an image that are not empty; moments and percentiles."""

import itertools
import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float32, Float64
from scipy import ndimage

from segpipe.images.volume import ImageStream
from segpipe.project.documents import Document

BLOCK = 1 << 20  # voxels that are ranked at once
HALF = 16  # bits of a float32 that one reading sorts by
SIGN = 1 << 31


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


class Emptiness(Document):
    """Where an image holds nothing, so that no structure can be there.

    A place is empty if each channel has the value of its floor there, after
    normalization, and within the reach as well.

    Attributes:
        floors: Value of each channel where there is nothing, before normalization: the
            lower limit of clipping, below which all values become one, or the
            background value.
        reach: Prepared voxels on each side of a place.
    """

    floors: tuple[float, ...]
    reach: int


ROUNDING = 1e-5  # share of a floor by which resampled values may differ from it


def held_voxels(
    array: Float32[np.ndarray, "channel ..."],
    floors: Float32[np.ndarray, " channel"],
) -> Bool[np.ndarray, "..."]:
    """Where a prepared image holds something: a channel differs from its floor.

    Args:
        array: Prepared voxels.
        floors: Value of each channel where there is nothing, after normalization.
    """
    held = np.zeros(array.shape[1:], dtype=bool)
    for channel, floor in zip(array, floors, strict=True):
        held |= np.abs(channel - floor) > ROUNDING * abs(floor)
    return held


def farthest_voxel(
    mask: Bool[np.ndarray, "i j k"], held: Bool[np.ndarray, "i j k"], *, limit: int
) -> int:
    """How far the farthest voxel of a mask is from the nearest one that is held.

    Args:
        mask: The voxels, such as those of all structures.
        held: Voxels where an image holds something.
        limit: A larger distance is given as this one and 1.

    Returns:
        The largest step along an axis, in voxels; 0 if all of the mask is held.
    """
    bare = mask & ~held
    if not bare.any():
        return 0
    around = tuple(
        slice(max(0, part.start - limit), part.stop + limit) for part in box_of(bare)
    )
    if not held[around].any():
        return limit + 1
    steps = ndimage.distance_transform_cdt(~held[around], metric="chessboard")
    return min(limit + 1, int(steps[bare[around]].max()))


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


def measure_percentiles(
    source: ImageStream, channels: Sequence[int], wanted: Sequence[float]
) -> Float64[np.ndarray, "channel wanted"]:
    """Percentiles of channels, exactly, with linear interpolation, slice by slice.

    The source is read once, or twice if a value has more than 8 significant bits. A
    channel that the image lacks, which is NaN, has NaN.

    Args:
        source: Image of any length.
        channels: Numbers of the channels.
        wanted: Percentiles from 0 to 100.
    """
    tables = [Ranks() for _ in channels]
    for part in source.read():
        for number, table in zip(channels, tables, strict=True):
            table.add(part[number])
    again = [table.narrow(wanted) for table in tables]
    if any(again):
        for part in source.read():
            for number, table in zip(channels, tables, strict=True):
                table.refine(part[number])
    return np.array([[table.percentile(one) for one in wanted] for table in tables])


class Ranks:
    """The values at ranks of voxels that are added part by part, twice.

    The bits of a float32, its sign turned, are whole numbers in the order of the
    values. The first time, voxels are counted by the upper half of these bits, and the
    second time, within the halves that hold a wanted rank, by the lower one; so tables
    of a fixed size are exact.

    Source:
        Radix selection: Knuth, The Art of Computer Programming 3, section 5.2.5.
    """

    def __init__(self) -> None:
        self._upper = np.zeros(1 << HALF, dtype=np.int64)
        self._lower: dict[int, np.ndarray] = {}  # counts within an upper half
        self._long = False  # whether a value has bits in the lower half

    def add(self, part: Float32[np.ndarray, "..."]) -> None:
        """Add voxels, in the first reading."""
        for bits in _bits_of(part):
            self._long = self._long or bool((bits & 0xFFFF).any())
            self._upper += np.bincount(_ordered(bits) >> HALF, minlength=1 << HALF)

    def narrow(self, wanted: Sequence[float]) -> bool:
        """Whether these percentiles need a second reading, which refine takes."""
        if self._long:
            ranks = (rank for one in wanted for rank in self._ranks(one)[:2])
            upper = {self._upper_of(rank)[0] for rank in ranks}
            self._lower = {one: np.zeros(1 << HALF, dtype=np.int64) for one in upper}
        return self._long

    def refine(self, part: Float32[np.ndarray, "..."]) -> None:
        """Add the same voxels, in the second reading."""
        if not self._lower:
            return
        for bits in _bits_of(part):
            keys = _ordered(bits)
            upper = keys >> HALF
            for number, counts in self._lower.items():
                found = keys[upper == number] & 0xFFFF
                counts += np.bincount(found, minlength=1 << HALF)

    def percentile(self, wanted: float) -> float:
        """The value at a percentile from 0 to 100, linear between two ranks.

        Call it once all voxels were added.
        """
        below, above, share = self._ranks(wanted)
        low, high = self._value(below), self._value(above)
        return low + share * (high - low)

    def _ranks(self, wanted: float) -> tuple[int, int, float]:
        """The rank below, the one above, from 0, and the share of the latter."""
        last = int(self._ends[-1]) - 1
        place = last * wanted / 100
        return math.floor(place), min(last, math.floor(place) + 1), place % 1

    def _upper_of(self, rank: int) -> tuple[int, int]:
        """The upper half that holds a rank, and the rank within it."""
        number = int(np.searchsorted(self._ends, rank, side="right"))
        return number, rank - int(self._ends[number] - self._upper[number])

    @cached_property
    def _ends(self) -> np.ndarray:
        """How many voxels there are up to each upper half; once all are counted."""
        return np.cumsum(self._upper)

    def _value(self, rank: int) -> float:
        upper, rest = self._upper_of(rank)
        lower = 0 if upper >= SIGN >> HALF else 0xFFFF
        if self._lower:
            ends = np.cumsum(self._lower[upper])
            lower = int(np.searchsorted(ends, rest, side="right"))
        key = upper << HALF | lower
        bits = key ^ SIGN if key >= SIGN else key ^ 0xFFFFFFFF
        return float(np.array(bits, dtype=np.uint32).view(np.float32))


def _bits_of(part: np.ndarray) -> Iterator[np.ndarray]:
    """The bits of float32 values as whole numbers, some at a time; no value is -0."""
    flat = part.reshape(-1)
    for start in range(0, flat.size, BLOCK):
        yield (flat[start : start + BLOCK] + np.float32(0)).view(np.uint32)


def _ordered(bits: np.ndarray) -> np.ndarray:
    """Whole numbers in the order of the values whose bits these are."""
    return np.where(bits < SIGN, bits ^ np.uint32(SIGN), ~bits)
