"""The border weights of U-Net, and lines of background between touching instances."""

import itertools
import math
from typing import Literal

import edt
import numpy as np
from jaxtyping import Float32, Integer
from pydantic import PositiveFloat
from scipy import ndimage

from segpipe.images.grid import Spacing
from segpipe.project.documents import Document

Domain = Literal["background", "all"]
Dimensions = Literal[2, 3]  # 2: within slices; 3: in the volume
NEGLIGIBLE = 1e-6  # smaller weights count as 0
PARALLEL_FROM = 1_000_000  # voxels; for fewer, starting threads takes longer
GROWN_AT_ONCE = 1 << 24  # voxels of instances, which bounds the memory
LINE = 2.0  # voxels across a separating line, one from each instance
FAR = 1e6  # in voxels, so that no voxel of another slice is the nearest
EXACT = 4  # bytes of an id that a double, as scipy's filters take it, holds exactly
SAME = 1e-5  # a smaller relative difference of squared distances is rounding


def border_weights(
    instances: Integer[np.ndarray, "i j k"],
    *,
    w0: float,
    sigma: float,
    spacing: Spacing,
    dimensions: Dimensions,
    domain: Domain,
    slice_axis: int = 2,
) -> Float32[np.ndarray, "i j k"]:
    """The border term w0 * exp(-(d1 + d2)^2 / (2 sigma^2)) of every voxel.

    Args:
        instances: Instance ids; 0 for no instance.
        w0: Weight where two instances meet.
        sigma: Width of the term, in the unit of the spacing.
        spacing: Voxel spacing; (1, 1, 1) for distances in voxels.
        dimensions: 3, or 2 to treat each slice across slice_axis alone.
        domain: ``background`` leaves voxels of instances at 0; ``all`` does not.
        slice_axis: Axis across which slices are taken, if dimensions is 2.

    Returns:
        The term, where d1 and d2 are the distances from a voxel's centre to the closest
        voxel centres of the nearest and the second nearest instance; 0 if there are
        fewer than two instances.

    Source:
        Ronneberger 2015, arXiv:1505.04597, section 3, equation 2.
    """
    result = np.zeros(instances.shape, dtype=np.float32)
    if dimensions == 3:
        _weigh(instances, result, w0, sigma, spacing, domain)
        return result
    plane = tuple(size for axis, size in enumerate(spacing) if axis != slice_axis)
    slices = zip(
        np.moveaxis(instances, slice_axis, 0),
        np.moveaxis(result, slice_axis, 0),
        strict=True,
    )
    for ids, goal in slices:
        _weigh(ids, goal, w0, sigma, plane, domain)
    return result


def _weigh(
    instances: np.ndarray,
    goal: np.ndarray,
    w0: float,
    sigma: float,
    spacing: tuple[float, ...],
    domain: Domain,
) -> None:
    """Write the term of one volume or slice into goal, which holds zeros."""
    numbers, count = number_from_one(instances)
    if count < 2:
        return
    reach = sigma * math.sqrt(2 * math.log(max(w0, NEGLIGIBLE) / NEGLIGIBLE))
    colours = _colours(numbers, count, spacing, reach)
    if colours.max() < 2:
        return
    nearest, second = _two_nearest(colours[numbers], int(colours.max()), spacing)
    total = np.sqrt(nearest, out=nearest)
    total += np.sqrt(second, out=second)
    np.square(total, out=total)
    total *= -1 / (2 * sigma**2)
    np.exp(total, out=total)
    total *= w0
    where = instances == 0 if domain == "background" else slice(None)
    goal[where] = total[where]


def number_from_one(
    instances: Integer[np.ndarray, "*shape"],
) -> tuple[Integer[np.ndarray, "*shape"], int]:
    """Instances renumbered from 1 in the order of their ids, and their count.

    Args:
        instances: Instance ids of any size; 0 for no instance, which stays 0.
    """
    if instances.min() < 0 or instances.max() > 50 * instances.size:
        ids, numbers = np.unique(instances, return_inverse=True)
        shift = int(0 not in ids)
        return numbers.reshape(instances.shape) + shift, len(ids) - 1 + shift
    found = np.bincount(instances.ravel().astype(np.intp, copy=False)) > 0
    found[0] = False
    table = np.cumsum(found, dtype=np.int32) * found
    return table[instances], int(found.sum())


def _colours(
    numbers: np.ndarray, count: int, spacing: tuple[float, ...], reach: float
) -> np.ndarray:
    """Colours from 1 such that instances within reach of each other differ in colour.

    The distance between bounding boxes decides: it is never larger than the distance
    between the instances.

    Returns:
        The colour of each number; 0 for none.
    """
    boxes = ndimage.find_objects(numbers)
    low = np.array([[part.start for part in box] for box in boxes]) * spacing
    high = np.array([[part.stop - 1 for part in box] for box in boxes]) * spacing
    colours = np.zeros(count + 1, dtype=np.uint16)
    for number in range(count):
        gaps = np.maximum(low - high[number], low[number] - high).clip(min=0)
        near = np.einsum("na,na->n", gaps, gaps) <= reach**2
        taken = set(colours[1:][near].tolist())
        colours[number + 1] = next(c for c in itertools.count(1) if c not in taken)
    return colours


def _two_nearest(
    colours: np.ndarray, count: int, spacing: tuple[float, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Squared distances to the nearest colour and to the second nearest, everywhere.

    Instead of one distance transform for each colour, there is one for each of a few
    groups: each colour is in half of the groups, and no two colours are in the same
    ones. The groups at the smallest distance are those of the nearest colour, and at
    least one group holds the second nearest colour without the nearest. So the second
    nearest lies at the next larger distance of a group, or at the smallest one if more
    than half of the groups lie there: those are the groups of two colours. The result
    is exact and takes about log2(count) + 2 transforms.

    Args:
        colours: Colours from 1 to count; 0 where there is no instance.
        count: Number of colours, at least 2.
        spacing: Voxel spacing.
    """
    groups = next(m for m in itertools.count(2) if math.comb(m, m // 2) >= count)
    codes = itertools.combinations(range(groups), groups // 2)
    outside = np.ones((groups, count + 1), dtype=np.uint8)
    for colour, code in zip(range(1, count + 1), codes, strict=False):
        outside[list(code), colour] = 0
    compact = colours.astype(np.uint8 if count < 256 else np.uint16)
    distances = (_squared_distance(table[compact], spacing) for table in outside)
    nearest = next(distances)
    second = np.full_like(nearest, np.inf)
    there = np.ones(nearest.shape, dtype=np.uint8)  # groups at the smallest distance
    for distance in distances:
        tie = np.abs(distance - nearest) <= SAME * nearest
        closer = (distance < nearest) & ~tie
        there += tie
        there[closer] = 1
        larger = np.where(tie, np.inf, np.maximum(distance, nearest))
        np.minimum(second, larger, out=second)
        np.minimum(nearest, distance, out=nearest)
    return nearest, np.where(there > groups // 2, nearest, second)


def _squared_distance(outside: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray:
    """Squared distance from every voxel to the nearest zero."""
    threads = 1 if outside.size < PARALLEL_FROM else 0
    result: np.ndarray = edt.edtsq(
        outside, anisotropy=spacing, black_border=False, parallel=threads
    )
    return result


class Separation(Document):
    """The lines of background between touching instances, as they were trained.

    Attributes:
        dimensions: 3, or 2 for lines within slices across slice_axis.
        slice_axis: Canonical axis across which slices are taken, if dimensions is 2.
        spacing: Spacing of the grid on which the lines were drawn, along the canonical
            axes; a line is two voxels wide.
    """

    dimensions: Dimensions
    slice_axis: int
    spacing: tuple[PositiveFloat, PositiveFloat, PositiveFloat]


def separate_touching(
    instances: Integer[np.ndarray, "i j k"],
    *,
    dimensions: Dimensions,
    slice_axis: int = 2,
) -> Integer[np.ndarray, "i j k"]:
    """Separate touching instances by background, one voxel from each side.

    A voxel becomes background if its 3 x 3 (x 3) neighbourhood holds another instance.

    Args:
        instances: Instance ids; 0 for no instance.
        dimensions: 3, or 2 for neighbourhoods within slices across slice_axis.
        slice_axis: Axis across which slices are taken, if dimensions is 2.

    Source:
        Ronneberger 2015, arXiv:1505.04597, section 3: a separation border "computed
        using morphological operations".
    """
    size = [3, 3, 3]
    if dimensions == 2:
        size[slice_axis] = 1
    touching = _touching(instances, size)
    return np.where(touching, 0, instances).astype(instances.dtype)


def _touching(instances: np.ndarray, size: list[int]) -> np.ndarray:
    """The voxels of instances whose neighbourhood of a size holds another instance."""
    if instances.dtype.itemsize > EXACT:
        instances = number_from_one(instances)[0].astype(np.int32)
    none = np.iinfo(instances.dtype).max
    highest = ndimage.maximum_filter(instances, size, mode="nearest")
    positive = np.where(instances > 0, instances, none)
    lowest = ndimage.minimum_filter(positive, size, mode="nearest")
    return np.asarray((instances > 0) & (highest != lowest))


def closed_width(separation: Separation, *, spacing: Spacing) -> list[int]:
    """Voxels along each axis of a closing that closes separating lines.

    A closing of n voxels closes gaps of up to n - 1; a line is two voxels wide.

    Args:
        separation: How the instances were separated.
        spacing: Spacing of the grid that is closed.
    """
    size = [
        math.ceil(LINE * line / own - SAME) + 1
        for own, line in zip(spacing, separation.spacing, strict=True)
    ]
    if separation.dimensions == 2:
        size[separation.slice_axis] = 1
    return size


def grow_back(
    instances: Integer[np.ndarray, "i j k"], separation: Separation, *, spacing: Spacing
) -> Integer[np.ndarray, "i j k"]:
    """Give the voxels of separating lines back to the instances beside them.

    A morphological closing: a voxel between two instances that are no further apart
    than a line is wide gets the nearer one's id. Where only one instance is near, its
    border stays as it is. It is the inverse of separate_touching where faces are flat;
    where they are oblique or curved, a line is wider than two voxels, and a part of it
    stays. A wider closing would join cells that do not touch.

    Args:
        instances: Instance ids along the canonical axes; 0 for no instance.
        separation: How the instances were separated.
        spacing: Spacing of the instances' own grid.
    """
    size = closed_width(separation, spacing=spacing)
    voxels = [own / line for own, line in zip(spacing, separation.spacing, strict=True)]
    if separation.dimensions == 2:
        voxels[separation.slice_axis] = FAR
    result = instances.copy()
    each = max(1, GROWN_AT_ONCE * len(instances) // max(1, instances.size))
    for start in range(0, len(instances), each):
        first = max(0, start - 2 * size[0])  # what a block depends on
        part = instances[first : start + each + 2 * size[0]]
        reached = ndimage.maximum_filter(part > 0, size, mode="nearest")
        nearest = ndimage.distance_transform_edt(
            part == 0, sampling=voxels, return_distances=False, return_indices=True
        )
        grown = part[tuple(nearest)]
        between = ndimage.minimum_filter(
            reached, size, mode="nearest", origin=[n % 2 - 1 for n in size]
        )
        between &= _touching(grown, [n + 1 - n % 2 for n in size])  # alike both ways
        joined = np.where(between, grown, part)
        result[start : start + each] = joined[start - first : start - first + each]
    return result
