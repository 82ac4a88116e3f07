"""Labels: resample classes and instance ids by the largest share of a voxel."""

import math

import numpy as np
from jaxtyping import Integer
from scipy import ndimage

from segpipe.images.borders import EXACT
from segpipe.images.grid import Triple
from segpipe.segmenter.preprocessing.classes import NOT_ANNOTATED
from segpipe.segmenter.preprocessing.resampling import (
    AxisRun,
    resample_image,
    resample_run,
)

TIE = 1e-4  # a smaller difference of shares of a voxel is rounding


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
    if ids.dtype.itemsize > EXACT:  # beside the class they might not fit
        known = np.union1d(np.zeros(1, ids.dtype), ids)
        numbers = np.searchsorted(known, ids).astype(np.int32)
        resampled: np.ndarray = known[resample_instances(numbers, drawn, classes)]
        return resampled
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
            share = resample_run(share, axis, goal, run)
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
