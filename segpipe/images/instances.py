"""Instances: connected components of structures, and their matching."""

import math
from dataclasses import dataclass
from typing import Literal

import cc3d
import numpy as np
from jaxtyping import Bool, Int32, Integer


def components(
    mask: Bool[np.ndarray, "i j k"], *, connectivity: Literal["faces", "all"]
) -> Int32[np.ndarray, "i j k"]:
    """Connected components, numbered from 1; 0 outside the mask.

    Args:
        mask: Where a structure is; a 2-D image has one k.
        connectivity: Over ``faces`` (edges in 2-D), or over corners too: ``all``.
    """
    flat = mask.shape[2] == 1
    ways = {"faces": 4, "all": 8} if flat else {"faces": 6, "all": 26}
    array = mask[:, :, 0] if flat else mask
    labelled: np.ndarray = cc3d.connected_components(
        np.ascontiguousarray(array), connectivity=ways[connectivity]
    )
    return labelled.reshape(mask.shape).astype(np.int32)


def instances_of_structures(
    label: Integer[np.ndarray, "i j k"], *, background: int = 0, ignore: int | None
) -> Int32[np.ndarray, "i j k"]:
    """Connected components (all neighbours) of each structure, numbered through.

    Args:
        label: Structure of each voxel.
        background: Value that is no structure.
        ignore: Value that is not annotated, if any.
    """
    result = np.zeros(label.shape, dtype=np.int32)
    for value in np.unique(label):
        if value != background and value != ignore:
            found = components(label == value, connectivity="all")
            found[found > 0] += result.max()
            result += found
    return result


@dataclass(frozen=True)
class InstanceMatch:
    """How predicted instances match those of the reference.

    Attributes:
        n_reference: Instances of the reference.
        n_predicted: Predicted instances.
        true_positives: Pairs whose IoU exceeds the threshold: at most one a piece.
        merges: Predicted instances that hold the larger part of two or more reference
            instances.
        splits: Reference instances that hold the larger part of two or more predicted
            ones.
        mean_iou: Of the pairs; NaN without any.
    """

    n_reference: int
    n_predicted: int
    true_positives: int
    merges: int
    splits: int
    mean_iou: float

    @property
    def false_positives(self) -> int:
        """Predicted instances without a partner."""
        return self.n_predicted - self.true_positives

    @property
    def false_negatives(self) -> int:
        """Instances of the reference without a partner."""
        return self.n_reference - self.true_positives

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
        reference: Ids, in any numbering; 0 where there is none.
        prediction: Ids likewise, on the same grid.
        iou_threshold: At least 0.5, so that a pair is unique.
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
    # A piece belongs to whoever holds more than half of it: to one at most.
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
