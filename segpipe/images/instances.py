"""Instances: components of structures, the lines between them, and their levels."""

from collections.abc import Iterator, Sequence
from typing import Literal

import cc3d
import edt
import numpy as np
from jaxtyping import Bool, Float32, Int32, Integer, UInt8
from scipy import ndimage

from segpipe.images.borders import (
    Dimensions,
    Separation,
    closed_width,
    grow_back,
    separate_touching,
)
from segpipe.images.grid import Grid, Spacing

Connectivity = Literal["faces", "edges", "all"]
LEVELS = 5  # of distance: the border line, and four inside it
ROUNDING = 1e-5  # of shares


def components(
    mask: Bool[np.ndarray, "i j k"], *, connectivity: Connectivity
) -> Int32[np.ndarray, "i j k"]:
    """Connected components, numbered from 1; 0 outside the mask.

    Args:
        mask: Voxels of a structure; a 2-D image has one k.
        connectivity: Over ``faces`` (edges in 2-D) only; over ``edges``, too (corners
            in 2-D); or over corners, too: ``all``.
    """
    # As a volume, even if it has one k: cc3d 3.29 divides components of 2-D masks where
    # all neighbours count, and raises a RuntimeError for some masks of a single row.
    ways = {"faces": 6, "edges": 18, "all": 26}
    labelled: np.ndarray = cc3d.connected_components(
        np.ascontiguousarray(mask), connectivity=ways[connectivity]
    )
    return labelled.astype(np.int32)


def instances_of_structures(
    label: Integer[np.ndarray, "i j k"], *, ignore: int | None
) -> Int32[np.ndarray, "i j k"]:
    """Connected components (all neighbours) of each structure, numbered from 1.

    Args:
        label: Structure of each voxel; 0 is background.
        ignore: Value of voxels that are not annotated, if any.
    """
    result = np.zeros(label.shape, dtype=np.int32)
    for value in np.unique(label):
        if value != 0 and value != ignore:
            found = components(label == value, connectivity="all")
            found[found > 0] += result.max()
            result += found
    return result


def find_targets(
    label: Integer[np.ndarray, "i j k"], drawn: Int32[np.ndarray, "i j k"] | None
) -> Int32[np.ndarray, "i j k"]:
    """The instances to learn: the drawn ones, or the components of each structure.

    Args:
        label: Class indices; negative where not annotated: there is no instance.
        drawn: Instance ids on the same grid, if there are any.
    """
    if drawn is None:
        return instances_of_structures(label, ignore=-1)
    return np.where(label >= 0, drawn, 0)


def lines_between(
    label: Integer[np.ndarray, "i j k"],
    instances: Int32[np.ndarray, "i j k"],
    separation: Separation,
) -> Bool[np.ndarray, "i j k"]:
    """The voxels between touching instances that are learned as background.

    Instances of different structures are told apart by their structure: there is no
    line between them.

    Args:
        label: Class indices; negative where not annotated.
        instances: Instance ids on the same grid; 0 for no instance.
        separation: How they are separated.
    """
    lines = np.zeros(label.shape, dtype=bool)
    for value, box in _boxes(label):
        own = np.where(label[box] == value, instances[box], 0)
        kept = separate_touching(
            own, dimensions=separation.dimensions, slice_axis=separation.slice_axis
        )
        lines[box] |= (kept == 0) & (own != 0)
    return lines


def distance_levels(
    label: Integer[np.ndarray, "i j k"],
    instances: Int32[np.ndarray, "i j k"],
    *,
    spacing: Spacing,
    dimensions: Dimensions,
    slice_axis: int = 2,
) -> UInt8[np.ndarray, "i j k"]:
    """How deep each voxel of a structure lies in its instance, in ``LEVELS`` levels.

    The first level is the border line: voxels with a face on another instance or on the
    background. Inside it, the distance to the line, as a share of the largest one in
    the instance, is cut into equal parts. So each instance that has an inside reaches
    the last level, whatever its size, and two that touch have two lines between them.
    The end of the image is no border, nor is a voxel that is not annotated.

    Args:
        label: Class indices; negative where not annotated.
        instances: Instance ids on the same grid; 0 for no instance.
        spacing: Voxel spacing.
        dimensions: 3, or 2 to treat each slice across slice_axis alone.
        slice_axis: Axis across which slices are taken, if dimensions is 2.

    Returns:
        Levels from 1; 0 outside the structures. Voxels of a structure without an
        instance have level 1.

    Source:
        Bai and Urtasun 2017, arXiv:1611.08303, section 3: the energy of a watershed in
        levels. There they are distances in pixels; here shares of the own depth, which
        stay as they are where patches are scaled.
    """
    result = (label > 0).astype(np.uint8)
    for value, box in _boxes(label, around=(1, 1, 1)):
        own = np.where(label[box] == value, instances[box], 0)
        part, unknown = result[box], label[box] < 0  # part is a view
        if dimensions == 3:
            np.maximum(part, _levels(own, unknown, spacing), out=part)
            continue
        for at in range(own.shape[slice_axis]):
            plane = (slice(None),) * slice_axis + (slice(at, at + 1),)
            found = _levels(own[plane], unknown[plane], spacing)
            np.maximum(part[plane], found, out=part[plane])
    return result


def _levels(
    ids: Integer[np.ndarray, "i j k"],
    unknown: Bool[np.ndarray, "i j k"],
    spacing: Spacing,
) -> UInt8[np.ndarray, "i j k"]:
    """The levels of one structure; 0 where there is no id."""
    inner = (ids > 0) & ~_on_border(ids, unknown)
    levels = (ids > 0).astype(np.uint8)
    if not inner.any():
        return levels
    far = distance_inside(inner | unknown, spacing)
    numbers, place = np.unique(ids[inner], return_inverse=True)
    deepest = np.zeros(len(numbers), dtype=np.float32)
    np.maximum.at(deepest, place, far[inner])
    share = far[inner] / deepest[place]
    levels[inner] = 1 + np.ceil(share * (LEVELS - 1) - ROUNDING)
    return levels


def _on_border(
    ids: Integer[np.ndarray, "i j k"], unknown: Bool[np.ndarray, "i j k"]
) -> Bool[np.ndarray, "i j k"]:
    """Whether a face of a voxel lies on one of another id, or of none."""
    found = np.zeros(ids.shape, dtype=bool)
    for axis in range(3):
        low = (slice(None),) * axis + (slice(None, -1),)
        high = (slice(None),) * axis + (slice(1, None),)
        differ = (ids[low] != ids[high]) & ~unknown[low] & ~unknown[high]
        found[low] |= differ
        found[high] |= differ
    return found


def distance_inside(
    mask: Bool[np.ndarray, "i j k"], spacing: Spacing
) -> Float32[np.ndarray, "i j k"]:
    """Distance of each voxel of a mask to the nearest outside it; 0 there.

    The end of the image is not outside; without any outside the distance is 1.
    """
    if mask.all():
        return np.ones(mask.shape, dtype=np.float32)
    # Along an axis of one voxel there is no outside.
    apart = tuple(
        own if size > 1 else float(sum(spacing) * max(mask.shape))
        for own, size in zip(spacing, mask.shape, strict=True)
    )
    far: np.ndarray = edt.edt(mask, anisotropy=apart, black_border=False)
    return far


def learned_levels(
    label: Integer[np.ndarray, "*shape"], levels: UInt8[np.ndarray, "*shape"]
) -> Integer[np.ndarray, "*shape"]:
    """The class that is learned where levels are: those of the first structure first.

    Args:
        label: Class indices; negative where not annotated, which stay as they are.
        levels: Levels from 1 in the structures.
    """
    return np.where(label > 0, (label - 1) * LEVELS + levels, label)


def _boxes(
    label: Integer[np.ndarray, "i j k"], *, around: Sequence[int] = (0, 0, 0)
) -> Iterator[tuple[int, tuple[slice, slice, slice]]]:
    """Each structure of a label map with its bounding box, and some voxels around."""
    found = ndimage.find_objects(np.maximum(label, 0).astype(np.int32))
    for value, box in enumerate(found, start=1):
        if box is not None:
            i, j, k = (
                slice(max(0, part.start - more), part.stop + more)
                for part, more in zip(box, around, strict=True)
            )
            yield value, (i, j, k)


def find_instances(
    label: Integer[np.ndarray, "i j k"], *, grid: Grid, separation: Separation | None
) -> Int32[np.ndarray, "i j k"]:
    """The instances of a predicted label map: the components of its structures.

    Where lines between touching instances were trained, the components of each
    structure grow back over the lines: an instance then has the voxels that the
    reference gives it.

    Args:
        label: Predicted structure of each voxel; 0 is background.
        grid: Grid of the label map.
        separation: The lines of the training; None if there were none.
    """
    found = instances_of_structures(label, ignore=None)
    if separation is None:
        return found
    return grow_over_lines(label, found, grid=grid, separation=separation)


def grow_over_lines(
    label: Integer[np.ndarray, "i j k"],
    instances: Int32[np.ndarray, "i j k"],
    *,
    grid: Grid,
    separation: Separation,
) -> Int32[np.ndarray, "i j k"]:
    """Give the lines between instances of a structure back to them.

    Args:
        label: Structure of each voxel; 0 is background, as the lines are.
        instances: Instance ids; 0 for no instance.
        grid: Grid of both.
        separation: The lines of the training.
    """
    turn = grid.to_canonical
    canonical = grid.reoriented(turn)
    spacing = canonical.spacing
    # As many whole voxels as the image has: not quite the spacing of the plan.
    prepared = canonical.resampled(canonical.shape_at(separation.spacing))
    made = separation.model_copy(update={"spacing": prepared.spacing})
    classes, result = turn.apply(label), turn.apply(instances).copy()
    width = closed_width(made, spacing=spacing)
    for value, box in _boxes(classes, around=width):
        own = np.where(classes[box] == value, result[box], 0)
        grown = grow_back(own, made, spacing=spacing)
        result[box] = np.where(result[box] == 0, grown, result[box])
    return np.ascontiguousarray(turn.undo(result))
