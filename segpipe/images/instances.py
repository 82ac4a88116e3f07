"""Instances: connected components of structures, and how instances match."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import cc3d
import numpy as np
from jaxtyping import Bool, Int32, Integer
from scipy import ndimage

from segpipe.images.borders import (
    Separation,
    closed_width,
    grow_back,
    separate_touching,
)
from segpipe.images.grid import Grid


def components(
    mask: Bool[np.ndarray, "i j k"], *, connectivity: Literal["faces", "all"]
) -> Int32[np.ndarray, "i j k"]:
    """Connected components, numbered from 1; 0 outside the mask.

    Args:
        mask: Voxels of a structure; a 2-D image has one k.
        connectivity: Over ``faces`` (edges in 2-D) only, or over corners, too: ``all``.
    """
    flat = mask.shape[2] == 1
    ways = {"faces": 4, "all": 8} if flat else {"faces": 6, "all": 26}
    array = mask[:, :, 0] if flat else mask
    labelled: np.ndarray = cc3d.connected_components(
        np.ascontiguousarray(array), connectivity=ways[connectivity]
    )
    return labelled.reshape(mask.shape).astype(np.int32)


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
    """The instances of a predicted label map, as evaluate counts and segment writes.

    They are the components of its structures. Where lines between touching instances
    were trained, the components of each structure grow back over the lines: an instance
    then has the voxels that the reference gives it.

    Args:
        label: Predicted structure of each voxel; 0 is background.
        grid: Grid of the label map.
        separation: The lines of the training; None if there were none.
    """
    found = instances_of_structures(label, ignore=None)
    if separation is None:
        return found
    turn = grid.to_canonical
    canonical = grid.reoriented(turn)
    spacing = canonical.spacing
    # As many whole voxels as the image has: not quite the spacing of the plan.
    prepared = canonical.resampled(canonical.shape_at(separation.spacing))
    made = separation.model_copy(update={"spacing": prepared.spacing})
    classes, result = turn.apply(label), turn.apply(found).copy()
    width = closed_width(made, spacing=spacing)
    for value, box in _boxes(classes, around=width):
        own = np.where(classes[box] == value, result[box], 0)
        grown = grow_back(own, made, spacing=spacing)
        result[box] = np.where(result[box] == 0, grown, result[box])
    return np.ascontiguousarray(turn.undo(result))


@dataclass(frozen=True)
class InstanceMatch:
    """Counts of predicted instances that match those of the reference.

    Attributes:
        n_reference: Number of instances of the reference.
        n_predicted: Number of predicted instances.
        true_positives: Number of pairs whose IoU exceeds the threshold; an instance is
            in at most one pair.
        merges: Number of predicted instances that cover more than half of each of two
            or more reference instances.
        splits: Number of reference instances that cover more than half of each of two
            or more predicted instances.
        mean_iou: Mean IoU of the pairs; NaN if there is no pair.
    """

    n_reference: int
    n_predicted: int
    true_positives: int
    merges: int
    splits: int
    mean_iou: float

    @property
    def f1(self) -> float:
        """2 TP / (2 TP + FP + FN); NaN if there is no instance on either side."""
        total = self.n_reference + self.n_predicted
        return 2 * self.true_positives / total if total else math.nan


def match_instances(
    reference: Integer[np.ndarray, "*shape"],
    prediction: Integer[np.ndarray, "*shape"],
    *,
    iou_threshold: float = 0.5,
    ignore: Bool[np.ndarray, "*shape"] | None = None,
) -> InstanceMatch:
    """Match instances whose IoU is above the threshold.

    Args:
        reference: Instance ids in any numbering; 0 for no instance.
        prediction: Predicted instance ids on the same grid.
        iou_threshold: At least 0.5, so that pairs are unique.
        ignore: Voxels to leave out.

    Source:
        Kirillov 2019, arXiv:1801.00868, section 4.1: strictly above 0.5.
    """
    assert iou_threshold >= 0.5
    keep = slice(None) if ignore is None else ~ignore
    ids_r, r = np.unique(reference[keep], return_inverse=True)
    ids_p, p = np.unique(prediction[keep], return_inverse=True)
    pairs, counts = np.unique(r.ravel() * len(ids_p) + p.ravel(), return_counts=True)
    r, p = pairs // max(1, len(ids_p)), pairs % max(1, len(ids_p))
    areas_r = np.bincount(r, counts, minlength=len(ids_r))
    areas_p = np.bincount(p, counts, minlength=len(ids_p))
    both = (ids_r[r] != 0) & (ids_p[p] != 0)
    r, p, shared = r[both], p[both], counts[both]
    iou = shared / (areas_r[r] + areas_p[p] - shared)
    matched = iou > iou_threshold
    # At most one instance covers more than half of another.
    holds = np.bincount(p[shared > areas_r[r] / 2], minlength=len(ids_p))
    held = np.bincount(r[shared > areas_p[p] / 2], minlength=len(ids_r))
    return InstanceMatch(
        n_reference=int(np.count_nonzero(ids_r)),
        n_predicted=int(np.count_nonzero(ids_p)),
        true_positives=int(matched.sum()),
        merges=int((holds >= 2).sum()),
        splits=int((held >= 2).sum()),
        mean_iou=float(iou[matched].mean()) if matched.any() else math.nan,
    )
