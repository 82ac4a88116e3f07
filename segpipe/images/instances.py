"""Instances: connected components of structures, and those that seeds split."""

from collections.abc import Iterator, Sequence
from typing import Literal

import cc3d
import edt
import numpy as np
from jaxtyping import Bool, Float, Float32, Int32, Integer
from scipy import ndimage
from skimage.segmentation import watershed

from segpipe.images.borders import (
    Separation,
    closed_width,
    grow_back,
    separate_touching,
)
from segpipe.images.grid import Grid, Spacing

Seeds = Literal["probability", "distance"]


def components(
    mask: Bool[np.ndarray, "i j k"], *, connectivity: Literal["faces", "all"]
) -> Int32[np.ndarray, "i j k"]:
    """Connected components, numbered from 1; 0 outside the mask.

    Args:
        mask: Voxels of a structure; a 2-D image has one k.
        connectivity: Over ``faces`` (edges in 2-D) only, or over corners, too: ``all``.
    """
    # As a volume, even if it has one k: cc3d 3.29 divides components of 2-D masks where
    # all neighbours count, and raises a RuntimeError for some masks of a single row.
    ways = {"faces": 6, "all": 26}
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


def split_by_seeds(
    mask: Bool[np.ndarray, "i j k"],
    inside: Float[np.ndarray, "i j k"],
    *,
    seeds: Seeds,
    threshold: float,
    spacing: Spacing,
) -> Int32[np.ndarray, "i j k"]:
    """The instances of a mask: a watershed from seeds, numbered from 1.

    A component without a seed is an instance as it is; one with several is divided
    where the landscape between them is highest, so that all of the mask is given away.

    Args:
        mask: Voxels of a structure.
        inside: Probability that a voxel lies inside an instance and not where two of
            them meet; read for seeds by probability only.
        seeds: By ``probability``, seeds are the components of what lies above the
            threshold, and the landscape is the negative probability. By ``distance``,
            they are the maxima of the smoothed distance to the outside that lie at
            least the threshold apart, and the landscape is the negative distance.
        threshold: A probability, or a distance in the unit of the spacing.
        spacing: Voxel spacing.

    Source:
        Beucher and Meyer 1993, the watershed from markers, as scikit-image has it. The
        probability inside: Caicedo 2019, doi:10.1002/cyto.a.23863, classes for
        interior and boundary.
    """
    whole = components(mask, connectivity="all")
    if not whole.any():
        return whole
    if seeds == "probability":
        landscape, marks = inside.astype(np.float32), mask & (inside > threshold)
    else:
        landscape = _smoothed_distance(mask, spacing)
    result, count = np.zeros_like(whole), 0
    for number, box in enumerate(ndimage.find_objects(whole), start=1):
        own = whole[box] == number
        if seeds == "probability":
            found = components(own & marks[box], connectivity="faces")
        else:
            found = _peaks(np.where(own, landscape[box], 0), threshold, spacing)
        if (n := int(found.max())) > 1:
            found = watershed(-landscape[box], found, connectivity=3, mask=own)
        else:
            found, n = own.astype(np.int32), 1
        result[box][own] = found[own] + count
        count += n
    return result


def _smoothed_distance(
    mask: Bool[np.ndarray, "i j k"], spacing: Spacing
) -> Float32[np.ndarray, "i j k"]:
    """Distance to the outside of a mask, smoothed over a voxel; 0 outside."""
    # Along an axis of one voxel there is no outside.
    apart = tuple(
        own if size > 1 else float(sum(spacing) * max(mask.shape))
        for own, size in zip(spacing, mask.shape, strict=True)
    )
    far: np.ndarray = edt.edt(mask, anisotropy=apart, black_border=False)
    width = [float(size > 1) for size in mask.shape]
    smooth: np.ndarray = ndimage.gaussian_filter(far, width, mode="nearest")
    return np.where(mask, smooth, np.float32(0))


def _peaks(
    landscape: Float32[np.ndarray, "i j k"], apart: float, spacing: Spacing
) -> Int32[np.ndarray, "i j k"]:
    """The maxima that lie at least a distance apart along an axis, numbered."""
    size = [2 * int(apart / own) + 1 for own in spacing]
    highest = ndimage.maximum_filter(landscape, size, mode="constant")
    peaks = (landscape == highest) & (landscape > 0)
    return components(peaks, connectivity="all")
