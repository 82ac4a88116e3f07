"""Reorient, resample, normalize: the same code in training and in use."""

import math
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float32, Int16, Integer
from scipy import ndimage

from segpipe.errors import DataError
from segpipe.grid import Grid
from segpipe.plan import Normalization, Plan
from segpipe.volume import Image

Triple = tuple[int, int, int]
BLOCK = 1 << 19  # voxels that are resampled at once
NOT_ANNOTATED = -1  # class index of voxels that nobody labelled


def prepare_image(
    image: Image, plan: Plan
) -> tuple[Float32[np.ndarray, "channel i j k"], Grid]:
    """Reorient an image to the canonical axes, resample and normalize it.

    Args:
        image: On any grid.
        plan: The spacing and the normalization of each channel.

    Returns:
        The prepared voxels and their grid.
    """
    orientation = image.grid.to_canonical
    grid = image.grid.reoriented(orientation)
    prepared_grid = grid.resampled(grid.shape_at(plan.spacing))
    array = resample_image(orientation.apply(image.array), prepared_grid.shape)
    for channel, normalization in zip(array, plan.normalization, strict=True):
        normalize(channel, normalization)
    return array, prepared_grid


def resample_image(
    array: Float32[np.ndarray, "channel i j k"], shape: Triple
) -> Float32[np.ndarray, "channel i2 j2 k2"]:
    """Resample linearly to another shape over the same box, one axis at a time.

    Along an axis that shrinks, each output voxel is the mean over its extent, so that
    detail finer than the new grid does not alias; along one that grows, neighbouring
    voxel centres are joined linearly. Axes do not mix, so thick slices stay apart from
    the fine in-plane detail.

    Returns:
        A new array in C order, channel by channel within one copy of the volume.
    """
    result = np.empty((len(array), *shape), dtype=np.float32)
    for channel, goal in zip(array, result, strict=True):
        step = channel
        # Shrink before growing: the fewest voxels in between.
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
    """Fill the goal, which differs in size along one axis; some MB at a time."""
    length, size = array.shape[axis], goal.shape[axis]
    if size < length:
        return _shrink_axis(array, axis, goal)
    places = np.clip((np.arange(size) + 0.5) * length / size - 0.5, 0, length - 1)
    low = np.floor(places).astype(np.intp)
    high = np.minimum(low + 1, length - 1)
    share = (places - low).astype(np.float32)
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


def _shrink_axis(array: np.ndarray, axis: int, goal: np.ndarray) -> np.ndarray:
    """The mean over each output voxel's extent, parts of voxels counted in part."""
    length, size = array.shape[axis], goal.shape[axis]
    scale = length / size
    moved, sink = np.moveaxis(array, axis, 0), np.moveaxis(goal, axis, 0)
    sink[...] = 0
    for place in range(size):
        start, stop = place * scale, (place + 1) * scale
        first, last = math.floor(start), min(math.ceil(stop), length)
        for index in range(first, last):
            share = min(index + 1, stop) - max(index, start)
            if share > 1e-9:
                sink[place] += moved[index] * np.float32(share / scale)
    return goal


def resample_classes(
    classes: Integer[np.ndarray, "i j k"], shape: Triple
) -> Integer[np.ndarray, "i2 j2 k2"]:
    """Resample by the nearest voxel centre: no class arises that was not there."""
    indices = [
        np.minimum(
            ((np.arange(size) + 0.5) * length / size).astype(np.intp), length - 1
        )
        for size, length in zip(shape, classes.shape, strict=True)
    ]
    return np.ascontiguousarray(classes[np.ix_(*indices)])


def normalize(channel: Float32[np.ndarray, "i j k"], how: Normalization) -> None:
    """Normalize a channel in place: it is a fresh copy and may be large.

    Source:
        z-score of the case, and for CT clipping with the data set's mean and deviation:
        Isensee 2021, doi:10.1038/s41592-020-01008-z.
    """
    if how.kind == "none":
        return
    if how.kind == "ct":
        np.clip(channel, how.low, how.high, out=channel)
        mean, deviation = how.mean, how.standard_deviation
    else:
        mean = float(channel.mean(dtype=np.float64))
        squares = [float(np.square(part - mean).sum()) for part in _doubled(channel)]
        deviation = math.sqrt(sum(squares) / channel.size)
    channel -= np.float32(mean)
    if deviation > 0:
        channel /= np.float32(deviation)


def _doubled(channel: np.ndarray) -> Iterator[np.ndarray]:
    """Its slices in double precision, one after another."""
    for part in channel:
        yield part.astype(np.float64)


def classes_of(
    values: Integer[np.ndarray, "i j k"], plan: Plan
) -> Int16[np.ndarray, "i j k"]:
    """The class index of each voxel; NOT_ANNOTATED where the value is ignore.

    Raises:
        DataError: If a value is neither a structure's nor ignore.
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
    dtype = np.result_type(*(np.min_scalar_type(value) for value in plan.values))
    return np.asarray(np.array(plan.values, dtype=dtype)[classes])


def vanished_slices(
    annotated: Integer[np.ndarray, "i j k"],
    prepared: Integer[np.ndarray, "i2 j2 k2"],
) -> list[tuple[int, int]]:
    """Annotated slices of a sparse label map that resampling would lose.

    A slice counts where it is annotated and a neighbour is not: between slices that
    nobody annotated, nothing else could stand for it.

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
        kept = np.minimum(
            ((np.arange(after.size) + 0.5) * before.size / after.size).astype(np.intp),
            before.size - 1,
        )
        rest = ndimage.minimum_filter(before, 3, mode="nearest")
        dense = before.max()
        for index in np.flatnonzero((before > rest) & (before >= 0.5 * dense)):
            if index not in kept:
                lost.append((axis, int(index)))
    return lost
