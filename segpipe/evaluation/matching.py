"""Matching: which predicted instances are those of the reference, at any IoU.

Peers choose their settings by it in environments of their own: beside numpy it needs
jaxtyping and no module of ours.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64, Integer

IOU_STEPS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))  # .5 to .95


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
        missed: Number of reference instances of which predicted ones, taken together,
            cover less than half.
        debris: Number of predicted instances that lie on those of the reference, taken
            together, with less than half of their voxels.
        mean_iou: Mean IoU of the pairs; NaN if there is no pair.
        hits: Number of pairs at each IoU of IOU_STEPS.
        overlap: Sum of the IoU of pairs above 1/2, whatever the threshold is.
    """

    n_reference: int
    n_predicted: int
    true_positives: int
    merges: int
    splits: int
    missed: int
    debris: int
    mean_iou: float
    hits: tuple[int, ...]
    overlap: float

    @property
    def average_precision(self) -> float:
        """Mean of TP / (TP + FP + FN) over IoU of .5 to .95; NaN as for f1."""
        return _precision(np.array(self.hits), self.n_reference + self.n_predicted)

    @property
    def f1(self) -> float:
        """2 TP / (2 TP + FP + FN); NaN if there is no instance on either side."""
        return self._f1(self.true_positives)

    @property
    def panoptic_quality(self) -> float:
        """PQ, the sum of IoU over TP + FP / 2 + FN / 2, at 1/2; NaN as for f1.

        It is the mean IoU of what matched (SQ) times the F1 of instances (RQ).

        Source:
            Kirillov 2019, arXiv:1801.00868, section 4.1.
        """
        total = self.n_reference + self.n_predicted
        return 2 * self.overlap / total if total else math.nan

    @property
    def segmentation_quality(self) -> float:
        """SQ, the mean IoU of pairs above 1/2; NaN if there is no pair."""
        return self.overlap / self.hits[0] if self.hits[0] else math.nan

    def f1_at(self, iou: float) -> float:
        """The same at an IoU of IOU_STEPS."""
        return self._f1(self.hits[IOU_STEPS.index(iou)])

    def _f1(self, pairs: int) -> float:
        total = self.n_reference + self.n_predicted
        return 2 * pairs / total if total else math.nan


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
    pairs = _pairs(reference, prediction, ignore)
    matched = pairs.iou > iou_threshold
    # At most one instance covers more than half of another.
    holds = np.bincount(
        pairs.predicted[pairs.shared > pairs.sizes_r[pairs.drawn] / 2], minlength=1
    )
    held = np.bincount(
        pairs.drawn[pairs.shared > pairs.sizes_p[pairs.predicted] / 2], minlength=1
    )
    return InstanceMatch(
        n_reference=len(pairs.sizes_r),
        n_predicted=len(pairs.sizes_p),
        true_positives=int(matched.sum()),
        merges=int((holds >= 2).sum()),
        splits=int((held >= 2).sum()),
        missed=_under_half(pairs.drawn, pairs.shared, pairs.sizes_r),
        debris=_under_half(pairs.predicted, pairs.shared, pairs.sizes_p),
        mean_iou=float(pairs.iou[matched].mean()) if matched.any() else math.nan,
        hits=tuple(int((pairs.iou > step).sum()) for step in IOU_STEPS),
        overlap=float(pairs.iou[pairs.iou > IOU_STEPS[0]].sum()),
    )


def sum_matches(matches: Iterable[InstanceMatch]) -> InstanceMatch:
    """The counts of several images: figures of them are pooled over all instances.

    The mean IoU is the mean over the images that have one.
    """
    each = list(matches)
    known = [one.mean_iou for one in each if not math.isnan(one.mean_iou)]
    return InstanceMatch(
        n_reference=sum(one.n_reference for one in each),
        n_predicted=sum(one.n_predicted for one in each),
        true_positives=sum(one.true_positives for one in each),
        merges=sum(one.merges for one in each),
        splits=sum(one.splits for one in each),
        missed=sum(one.missed for one in each),
        debris=sum(one.debris for one in each),
        mean_iou=sum(known) / len(known) if known else math.nan,
        hits=tuple(sum(one.hits[n] for one in each) for n in range(len(IOU_STEPS))),
        overlap=math.fsum(one.overlap for one in each),
    )


def _under_half(
    owner: Int64[np.ndarray, " pair"],
    shared: Int64[np.ndarray, " pair"],
    sizes: Float64[np.ndarray, " n"],
) -> int:
    """Number of instances whose pairs share less than half of their voxels."""
    covered = np.bincount(owner, shared, minlength=len(sizes))
    return int((covered < sizes / 2).sum())


def _precision(hits: Integer[np.ndarray, " step"], instances: int) -> float:
    """Mean of TP / (TP + FP + FN), from pairs and the instances of both sides."""
    return float((hits / (instances - hits)).mean()) if instances else math.nan


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Instances of reference and prediction that share voxels.

    Attributes:
        sizes_r: Voxels of each instance of the reference.
        sizes_p: Voxels of each predicted instance.
        drawn: The reference's instance of each pair, counted from 0.
        predicted: The predicted instance of each pair, counted from 0.
        shared: Voxels that a pair shares.
    """

    sizes_r: Float64[np.ndarray, " n"]
    sizes_p: Float64[np.ndarray, " m"]
    drawn: Int64[np.ndarray, " pair"]
    predicted: Int64[np.ndarray, " pair"]
    shared: Int64[np.ndarray, " pair"]

    @property
    def iou(self) -> Float64[np.ndarray, " pair"]:
        """Intersection over union of each pair."""
        sizes = self.sizes_r[self.drawn] + self.sizes_p[self.predicted]
        found: np.ndarray = self.shared / (sizes - self.shared)
        return found


def _pairs(
    reference: Integer[np.ndarray, "*shape"],
    prediction: Integer[np.ndarray, "*shape"],
    ignore: Bool[np.ndarray, "*shape"] | None,
) -> _Pairs:
    """The pairs of two maps of ids."""
    keep = slice(None) if ignore is None else ~ignore
    ids_r, r = np.unique(reference[keep], return_inverse=True)
    ids_p, p = np.unique(prediction[keep], return_inverse=True)
    codes, counts = np.unique(r.ravel() * len(ids_p) + p.ravel(), return_counts=True)
    r, p = codes // max(1, len(ids_p)), codes % max(1, len(ids_p))
    weights = counts.astype(np.float64)
    sizes_r = np.bincount(r, weights, minlength=len(ids_r)).astype(np.float64)
    sizes_p = np.bincount(p, weights, minlength=len(ids_p)).astype(np.float64)
    both = (ids_r[r] != 0) & (ids_p[p] != 0)
    # The numbers of instances, without the background where there is any.
    number_r, number_p = (np.cumsum(ids != 0) - 1 for ids in (ids_r, ids_p))
    return _Pairs(
        sizes_r[ids_r != 0],
        sizes_p[ids_p != 0],
        number_r[r[both]],
        number_p[p[both]],
        counts[both],
    )


@dataclass(frozen=True, eq=False)
class Overlap:
    """How well each predicted instance overlaps the reference, to count at any size.

    Attributes:
        n_reference: Number of instances of the reference.
        sizes: Voxels of each predicted instance.
        iou: Largest IoU of each predicted instance with one of the reference.
    """

    n_reference: int
    sizes: Float64[np.ndarray, " m"]
    iou: Float64[np.ndarray, " m"]


def overlap_instances(
    reference: Integer[np.ndarray, "*shape"],
    prediction: Integer[np.ndarray, "*shape"],
    *,
    ignore: Bool[np.ndarray, "*shape"] | None = None,
) -> Overlap:
    """The largest IoU of each predicted instance.

    Args:
        reference: Instance ids in any numbering; 0 for no instance.
        prediction: Predicted instance ids on the same grid.
        ignore: Voxels to leave out.
    """
    pairs = _pairs(reference, prediction, ignore)
    iou = np.zeros(len(pairs.sizes_p))
    np.maximum.at(iou, pairs.predicted, pairs.iou)
    return Overlap(len(pairs.sizes_r), pairs.sizes_p, iou)


def average_precision(overlaps: Iterable[Overlap], *, smallest: float = 0) -> float:
    """Mean of TP / (TP + FP + FN) over IoU of .5 to .95, all cases pooled.

    Args:
        overlaps: The instances of each case.
        smallest: Smaller predicted instances, in voxels, are left out.

    Returns:
        From 0 to 1; NaN if there is no instance on either side.

    Source:
        Caicedo 2019, doi:10.1038/s41592-019-0612-7, the score of the Data Science Bowl
        2018; Lin 2014, arXiv:1405.0312, for the steps.
    """
    counts = np.zeros(len(IOU_STEPS), dtype=np.int64)
    total = 0
    for found in overlaps:
        kept = found.sizes >= smallest
        total += found.n_reference + int(kept.sum())
        counts += (found.iou[kept][:, None] > np.array(IOU_STEPS)).sum(0)
    return _precision(counts, total)
