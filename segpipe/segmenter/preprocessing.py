"""Preprocessing: reorient, resample, normalize, in training and in use alike."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int16, Integer
from scipy import ndimage

from segpipe.images.grid import Grid, Triple
from segpipe.images.region import (
    Moments,
    Region,
    is_missing,
    measure_percentiles,
    measure_region,
)
from segpipe.images.volume import SLICES, Image, ImageStream, RollingSlices
from segpipe.project.errors import DataError
from segpipe.segmenter.plan import Normalization, Plan

BLOCK = 1 << 19  # voxels that are resampled at once
NOT_ANNOTATED = -1  # class index of voxels without a label
TIE = 1e-4  # a smaller difference of shares of a voxel is rounding


def prepare_image(
    image: Image, plan: Plan, *, moments: list[tuple[float, float]] | None = None
) -> tuple[Float32[np.ndarray, "channel i j k"], Grid]:
    """Reorient an image to the canonical axes, resample and normalize it.

    Args:
        image: Image on any grid.
        plan: Spacing, and normalization of each channel.
        moments: What measure_image returned, if it was called.

    Returns:
        The prepared voxels and their grid.
    """
    if moments is None:
        moments = measure_image(ImageStream.of(image), plan)
    orientation = image.grid.to_canonical
    grid = image.grid.reoriented(orientation)
    prepared_grid = grid.resampled(grid.shape_at(plan.spacing))
    array = resample_image(orientation.apply(image.array), prepared_grid.shape)
    for n, (channel, how) in enumerate(zip(array, plan.normalization, strict=True)):
        if moments is None:
            normalize(channel, how)
        else:
            _apply(channel, how, moments[n])
    return array, prepared_grid


def measure_image(source: ImageStream, plan: Plan) -> list[tuple[float, float]] | None:
    """What is subtracted from each channel, and what it is divided by then.

    For z-scores they are mean and deviation over the plan's region, for percentiles
    they follow from these. They are taken before resampling, where the voxels outside
    the field of view have exactly the background value. None if there is neither a
    region nor a channel with percentiles.
    """
    kinds = [how.kind for how in plan.normalization]
    if "percentile" not in kinds:
        return None if plan.region is None else measure_region(source, plan.region)
    assert plan.region is not None or "zscore" not in kinds, "z-scores have a region"
    moments = [(0.0, 0.0)] * source.channels
    if plan.region is not None:
        moments = measure_region(source, plan.region)
    channels = [n for n, kind in enumerate(kinds) if kind == "percentile"]
    for number, its in zip(channels, _scales(source, plan, channels), strict=True):
        moments[number] = its
    return moments


def _scales(
    source: ImageStream, plan: Plan, channels: list[int]
) -> list[tuple[float, float]]:
    """What is subtracted from channels with percentiles, and divided by then.

    An image whose background is light is inverted, and then normalized, if the plan
    says so. A channel whose percentiles are equal is mapped by its lowest and highest
    value, and a constant one becomes 0.
    """
    hows = [plan.normalization[n] for n in channels]
    pairs = [(how.low, how.high) for how in hows]
    around = {share for pair in pairs for one in pair for share in (one, 100 - one)}
    wanted = sorted({0.0, 50.0, 100.0} | around)
    table = measure_percentiles(source, channels, wanted)
    rows = [dict(zip(wanted, row.tolist(), strict=True)) for row in table]
    light = plan.polarity is not None and has_light_background(
        [row[50.0] for row in rows],
        [_ends(row, *pair) for row, pair in zip(rows, pairs, strict=True)],
    )
    scales = []
    for row, how, (low, high) in zip(rows, hows, pairs, strict=True):
        start, end = _ends(row, low, high)
        if light:
            end, start = _ends(row, 100 - high, 100 - low)
        width = end - start
        scales.append((start + how.mean * width, how.standard_deviation * width))
    return scales


def _ends(row: dict[float, float], low: float, high: float) -> tuple[float, float]:
    """The values of two percentiles; of the lowest and the highest if these are equal.

    Args:
        row: Value of each percentile.
        low: Lower percentile.
        high: Upper percentile.
    """
    return (row[low], row[high]) if row[low] != row[high] else (row[0.0], row[100.0])


def has_light_background(
    medians: Sequence[float], ends: Sequence[tuple[float, float]]
) -> bool:
    """Whether most of an image is lighter than the middle of its range.

    Objects cover less than half of an image, so its median is the background. The
    channels decide together: by the mean of where their medians lie between their
    ends. A constant or missing channel does not count.

    Args:
        medians: Median of each channel.
        ends: Lower and upper percentile of each channel.
    """
    pairs = zip(medians, ends, strict=True)
    places = [
        (value - low) / (high - low) for value, (low, high) in pairs if high > low
    ]
    return sum(places) > len(places) / 2


def prepared_region(
    plan: Plan, moments: list[tuple[float, float]] | None
) -> Region | None:
    """The plan's region in a prepared image: its background values are normalized.

    Args:
        plan: Normalization of each channel.
        moments: What measure_image returned for the image.
    """
    if plan.region is None or moments is None:
        return None
    values = prepared_floors(plan.region.background, plan, moments)
    return Region(kind=plan.region.kind, background=tuple(values.tolist()))


def case_moments(source: ImageStream, plan: Plan) -> list[tuple[float, float]]:
    """Mean and deviation by which each channel is normalized; 0 where none are needed.

    Without a region, z-scores take those of the whole resampled image.
    """
    moments = measure_image(source, plan)
    if moments is not None:
        return moments
    if any(how.kind == "zscore" for how in plan.normalization):
        return _moments_of_channels(source, plan)
    return [(0.0, 0.0)] * source.channels


def prepared_floors(
    floors: Sequence[float], plan: Plan, moments: list[tuple[float, float]]
) -> Float32[np.ndarray, " channel"]:
    """The values of a prepared image where there is nothing.

    Args:
        floors: The values before normalization.
        plan: Normalization of each channel.
        moments: What case_moments returned for the image.
    """
    values = np.array(floors, dtype=np.float32)
    for n, (how, its) in enumerate(zip(plan.normalization, moments, strict=True)):
        _apply(values[n : n + 1], how, its)
    return values


def resample_image(
    array: Float32[np.ndarray, "channel i j k"], shape: Triple
) -> Float32[np.ndarray, "channel i2 j2 k2"]:
    """Resample linearly to another shape over the same box, one axis at a time.

    Along an axis that shrinks, each output voxel is the mean over its extent, so that
    detail finer than the new grid does not alias; along one that grows, it is linear
    between neighbouring voxel centres. Axes are treated separately, so in-plane detail
    does not mix across thick slices.

    Returns:
        A new array in C order, channel by channel within one copy of the volume.
    """
    result = np.empty((len(array), *shape), dtype=np.float32)
    for channel, goal in zip(array, result, strict=True):
        step = channel
        # Shrink before growing, for the fewest voxels in between.
        order = sorted(range(3), key=lambda axis: shape[axis] / channel.shape[axis])
        changing = [axis for axis in order if shape[axis] != channel.shape[axis]]
        for axis in changing[:-1]:
            sizes = [shape[n] if n == axis else step.shape[n] for n in range(3)]
            step = _resample_axis(step, axis, np.empty(sizes, dtype=np.float32))
        if changing:
            _resample_axis(step, changing[-1], goal)
        else:
            goal[...] = step
    return result


def _resample_axis(array: np.ndarray, axis: int, goal: np.ndarray) -> np.ndarray:
    """Resample along one axis into the goal."""
    run = AxisRun(array.shape[axis], goal.shape[axis], 0, goal.shape[axis])
    return _resample_run(array, axis, goal, run)


@dataclass(frozen=True)
class AxisRun:
    """A run of resampled places along an axis.

    Attributes:
        length: Length of the whole axis.
        size: Length of the whole axis after resampling.
        start: First resampled place of the run.
        stop: Resampled place after the last.
    """

    length: int
    size: int
    start: int
    stop: int

    @property
    def needed(self) -> tuple[int, int]:
        """First place of the axis that the run needs, and the place after the last."""
        if self.size == self.length:
            return self.start, self.stop
        if self.size < self.length:
            scale = self.length / self.size
            last = min(math.ceil(self.stop * scale), self.length)
            return math.floor(self.start * scale), last
        low, high, _ = self.neighbours
        return int(low[0]), int(high[-1]) + 1

    @property
    def neighbours(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The places below and above each output, and the weight of the one above."""
        places = np.arange(self.start, self.stop) + 0.5
        places = np.clip(places * self.length / self.size - 0.5, 0, self.length - 1)
        low = np.floor(places).astype(np.intp)
        share = (places - low).astype(np.float32)
        return low, np.minimum(low + 1, self.length - 1), share


def _resample_run(
    array: np.ndarray, axis: int, goal: np.ndarray, run: AxisRun
) -> np.ndarray:
    """Resample a run into the goal, some MB at a time."""
    if run.size < run.length:
        return _shrink_run(array, axis, goal, run)
    low, high, share = run.neighbours
    low, high = low - run.needed[0], high - run.needed[0]
    share = share.reshape([-1 if n == axis else 1 for n in range(array.ndim)])
    other = 1 if axis == 0 else 0
    source, sink = np.moveaxis(array, other, 0), np.moveaxis(goal, other, 0)
    share = np.moveaxis(share, other, 0)
    along = 1 if axis == 0 else axis
    each = max(1, BLOCK * len(sink) // max(1, goal.size))
    for start in range(0, len(sink), each):
        part = source[start : start + each]
        block = np.take(part, high, along)
        below = np.take(part, low, along)
        block -= below
        block *= share
        block += below
        sink[start : start + each] = block
    return goal


def _shrink_run(
    array: np.ndarray, axis: int, goal: np.ndarray, run: AxisRun
) -> np.ndarray:
    """Average over each output voxel's extent; parts of voxels count in part."""
    scale = run.length / run.size
    moved, sink = np.moveaxis(array, axis, 0), np.moveaxis(goal, axis, 0)
    sink[...] = 0
    for place in range(run.start, run.stop):
        start, stop = place * scale, (place + 1) * scale
        first, last = math.floor(start), min(math.ceil(stop), run.length)
        for index in range(first, last):
            share = min(index + 1, stop) - max(index, start)
            if share > 1e-9:
                sink[place - run.start] += moved[index - run.needed[0]] * np.float32(
                    share / scale
                )
    return goal


def resample_classes(
    classes: Integer[np.ndarray, "i j k"], shape: Triple
) -> Integer[np.ndarray, "i2 j2 k2"]:
    """Resample by the largest share: the mask of each class is resampled as an image.

    One class at a time is resampled, in its bounding box. A voxel that is shared
    equally belongs to a structure rather than to the background, and to the first of
    two structures, whichever way the axes run: nothing is shifted, and a flipped label
    map gives the flipped result. A voxel is annotated if the voxel at its centre is, or
    one of several with the same distance to it, so that single annotated slices stay.

    Args:
        classes: Class of each voxel, 0 for background and NOT_ANNOTATED for none.
        shape: Shape of the result, which covers the same box.
    """
    if tuple(shape) == classes.shape:
        return np.ascontiguousarray(classes)
    unknown = classes == NOT_ANNOTATED
    sparse = bool(unknown.any())
    rest = np.ones(shape, dtype=np.float32)
    if sparse:
        rest[...] = resample_image((~unknown)[None].astype(np.float32), shape)[0]
    result, largest = _largest_shares(classes, shape, rest)
    result[rest > largest + TIE] = 0
    if sparse:
        result[~_at_centres(~unknown, shape)] = NOT_ANNOTATED
    return result


def resample_instances(
    ids: Integer[np.ndarray, "i j k"],
    drawn: Integer[np.ndarray, "i j k"],
    classes: Integer[np.ndarray, "i2 j2 k2"],
) -> Integer[np.ndarray, "i2 j2 k2"]:
    """Resample instance ids to the grid of a label map that resample_classes gave.

    A voxel of a structure has the id of that structure with the largest share of it,
    and a voxel of the background none, so that ids and classes agree where instances
    share a voxel.

    Args:
        ids: Id of each voxel, 0 for no instance.
        drawn: Class of each of these voxels.
        classes: Class of each voxel of the resampled label map.
    """
    if classes.shape == ids.shape:
        return np.ascontiguousarray(ids)
    step = max(0, int(drawn.max())) + 1
    pairs = np.where((ids > 0) & (drawn > 0), ids.astype(np.int64) * step + drawn, 0)
    i, j, k = classes.shape
    found, _ = _largest_shares(pairs, (i, j, k), None, (step, classes))
    return (found // step).astype(ids.dtype)


def _largest_shares(
    values: np.ndarray,
    shape: Triple,
    rest: np.ndarray | None,
    within: tuple[int, np.ndarray] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The positive value with the largest share of each voxel, 0 for none; the share.

    Args:
        values: Value of each voxel before resampling.
        shape: Shape of the results.
        rest: Shares from which those of all positive values are taken, in place.
        within: A divisor and resampled classes: a value counts only where its remainder
            is the class.
    """
    result = np.zeros(shape, dtype=values.dtype)
    largest = np.zeros(shape, dtype=np.float32)
    known, numbers = None, values
    if values.max() > values.size:  # ids may be any numbers: do not list them all
        known, inverse = np.unique(np.maximum(values, 0), return_inverse=True)
        numbers = inverse.reshape(values.shape) + int(known[0] != 0)
        known = np.union1d([0], known)
    for number, box in enumerate(ndimage.find_objects(numbers), start=1):
        if box is None:
            continue
        value = number if known is None else int(known[number])
        place, share = _share_of(numbers, number, box, shape)
        before = largest[place]
        larger = share > before + TIE
        if within is not None:
            larger &= within[1][place] == value % within[0]
        before[larger] = share[larger]
        result[place][larger] = value
        if rest is not None:
            rest[place] -= share
    return result, largest


def _share_of(
    numbers: np.ndarray, number: int, box: tuple[slice, ...], shape: Triple
) -> tuple[tuple[slice, ...], np.ndarray]:
    """Where a number can have a share of the resampled voxels, and its shares there.

    Args:
        numbers: Number of each voxel before resampling.
        number: The number.
        box: Bounding box of its voxels.
        shape: Shape of the whole volume after resampling.
    """
    runs = [
        _reached(part, length, size)
        for part, length, size in zip(box, numbers.shape, shape, strict=True)
    ]
    needed = tuple(slice(*run.needed) for run in runs)
    share = (numbers[needed] == number).astype(np.float32)
    for axis in sorted(range(3), key=lambda axis: shape[axis] / numbers.shape[axis]):
        run = runs[axis]
        if run.size != run.length:
            sizes = list(share.shape)
            sizes[axis] = run.stop - run.start
            goal = np.empty(sizes, dtype=np.float32)
            share = _resample_run(share, axis, goal, run)
    return tuple(slice(run.start, run.stop) for run in runs), share


def _reached(part: slice, length: int, size: int) -> AxisRun:
    """The resampled places to which a part of an axis contributes."""
    if size == length:
        return AxisRun(length, size, part.start, part.stop)
    beyond = 0 if size < length else 0.5  # linear weights reach beyond the voxel
    start = math.floor((part.start - beyond) * size / length - beyond)
    stop = math.ceil((part.stop + beyond) * size / length + beyond)
    return AxisRun(length, size, max(0, start), min(size, stop))


def _centres(length: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The two voxels nearest to each resampled centre: the same one but for ties."""
    places, rest = np.divmod((2 * np.arange(size) + 1) * length, 2 * size)
    return places - (rest == 0), places


def _at_centres(mask: np.ndarray, shape: Triple) -> np.ndarray:
    """Whether a voxel nearest to each resampled centre is in the mask."""
    for axis, size in enumerate(shape):
        below, above = _centres(mask.shape[axis], size)
        mask = mask.take(below, axis) | mask.take(above, axis)
    return mask


def normalize(channel: Float32[np.ndarray, "i j k"], how: Normalization) -> None:
    """Normalize a channel in place, by the moments of all of its voxels.

    Source:
        z-score of the case, and for CT clipping with the data set's mean and deviation:
        Isensee 2021, doi:10.1038/s41592-020-01008-z.
    """
    moments = Moments()
    if how.kind == "zscore":
        for part in channel:
            moments.add(part)
    _apply(channel, how, moments.mean_and_deviation)


def _apply(
    channel: np.ndarray, how: Normalization, moments: tuple[float, float]
) -> None:
    """Normalize voxels in place; z-scores take the case's mean and deviation.

    So do percentiles their scale. A channel that the image lacks, which is NaN and has
    NaN for its mean, becomes 0.
    """
    mean, deviation = moments
    if math.isnan(mean) or is_missing(channel):
        channel[...] = 0
        return
    if how.kind == "none":
        return
    if how.kind == "ct":
        np.clip(channel, how.low, how.high, out=channel)
        mean, deviation = how.mean, how.standard_deviation
    channel -= np.float32(mean)
    if deviation != 0:
        channel /= np.float32(deviation)


def prepared_parts(
    source: ImageStream, plan: Plan, moments: list[tuple[float, float]] | None = None
) -> Iterator[Float32[np.ndarray, "channel n j k"]]:
    """Prepare an image of any length as prepare_image does, some slices at a time.

    Slices come in the order of the source's axis k, which leads; the axes are those of
    ``Orientation.slices_first``. For z-scores the source is read twice, for percentiles
    two or three times.

    Args:
        source: Image on any grid.
        plan: Spacing, and normalization of each channel.
        moments: What case_moments returned, if it was called.
    """
    if moments is None:
        moments = case_moments(source, plan)
    for part in _resampled_parts(source, plan):
        for channel, how, its in zip(part, plan.normalization, moments, strict=True):
            _apply(channel, how, its)
        yield part


def _moments_of_channels(source: ImageStream, plan: Plan) -> list[tuple[float, float]]:
    """Mean and deviation of each resampled channel, in one reading of the source."""
    tables = [Moments() for _ in range(source.channels)]
    for part in _resampled_parts(source, plan):
        for channel, table in zip(part, tables, strict=True):
            for plane in channel:
                table.add(plane)
    return [table.mean_and_deviation for table in tables]


def _resampled_parts(source: ImageStream, plan: Plan) -> Iterator[np.ndarray]:
    """Slices of the source, reoriented and resampled into new arrays."""
    orientation = source.grid.to_canonical
    frame, at = orientation.slices_first, orientation.slices_at
    canonical = source.grid.reoriented(orientation)
    shape = list(canonical.shape_at(plan.spacing))
    size, plane = shape.pop(at), shape
    flat = (_resized(frame.apply(part), plane) for part in source.read())
    rolling, length = RollingSlices(flat, axis=1), source.grid.shape[2]
    for start in range(0, size, SLICES):
        run = AxisRun(length, size, start, min(size, start + SLICES))
        block = rolling.window(*run.needed)
        goal = np.empty((len(block), run.stop - start, *plane), dtype=np.float32)
        for channel, result in zip(block, goal, strict=True):
            if size == length:
                result[...] = channel
            else:
                _resample_run(channel, 0, result, run)
        yield goal


def _resized(part: np.ndarray, plane: list[int]) -> np.ndarray:
    """Resample slices within their planes."""
    if list(part.shape[2:]) == plane:
        return part
    return resample_image(part, (part.shape[1], plane[0], plane[1]))


def classes_of(
    values: Integer[np.ndarray, "i j k"], plan: Plan
) -> Int16[np.ndarray, "i j k"]:
    """The class index of each voxel; NOT_ANNOTATED where the value is ignore.

    Raises:
        DataError: If a value is neither that of a structure nor ignore.
    """
    known = np.unique(values)
    meaning = {value: index for index, value in enumerate(plan.values)}
    if plan.ignore is not None:
        meaning[plan.ignore] = NOT_ANNOTATED
    strange = [int(value) for value in known if int(value) not in meaning]
    if strange:
        raise DataError(
            f"expected the values {sorted(meaning)} of dataset.json, found {strange}; "
            "add them to labels, or mend the label map"
        )
    table = np.array([meaning[int(value)] for value in known], dtype=np.int16)
    return np.asarray(table[np.searchsorted(known, values)])


def values_of(
    classes: Int16[np.ndarray, "i j k"], plan: Plan
) -> Integer[np.ndarray, "i j k"]:
    """The data set's value of each class index: the inverse of classes_of."""
    return np.asarray(np.array(plan.values, dtype=label_dtype(plan))[classes])


def label_dtype(plan: Plan) -> np.dtype:
    """The smallest integer type that holds the data set's values."""
    return np.result_type(*(np.min_scalar_type(value) for value in plan.values))


def vanished_slices(
    annotated: Integer[np.ndarray, "i j k"],
    prepared: Integer[np.ndarray, "i2 j2 k2"],
) -> list[tuple[int, int]]:
    """Annotated slices of a sparse label map that resampling would lose.

    A slice counts if it is annotated and a neighbour is not, because no other annotated
    slice could replace it.

    Returns:
        Axis and index of each such slice, along the canonical axes.
    """
    lost = []
    for axis in range(3):
        others = tuple(n for n in range(3) if n != axis)
        before = (annotated != NOT_ANNOTATED).sum(others)
        after = (prepared != NOT_ANNOTATED).sum(others)
        if before.min() > 0 or after.size >= before.size:
            continue
        kept = np.concatenate(_centres(before.size, after.size))
        rest = ndimage.minimum_filter(before, 3, mode="nearest")
        dense = before.max()
        for index in np.flatnonzero((before > rest) & (before >= 0.5 * dense)):
            if index not in kept:
                lost.append((axis, int(index)))
    return lost
