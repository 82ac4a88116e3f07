"""Matching: how predicted instances agree with those of the reference, in figures.

One scorer judges all methods. It needs numpy only and no module of ours, so that a peer
can choose its settings with it in an environment of its own.

Source:
    Caicedo 2019, doi:10.1038/s41592-019-0612-7 (Data Science Bowl 2018), and Schmidt
    2018, arXiv:1806.03535, section 3: TP / (TP + FP + FN) at each IoU threshold.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields

import numpy as np

THRESHOLDS = np.arange(50, 100, 5) / 100  # .5, .55 ... .95


@dataclass(frozen=True)
class Counts:
    """Counts of instances, which may be added over images.

    Attributes:
        n_reference: Number of instances of the reference.
        n_predicted: Number of predicted instances.
        true_positives: Number of pairs whose IoU exceeds each of ``THRESHOLDS``.
        merges: Predicted instances that cover more than half of each of two or more of
            the reference.
        splits: Instances of the reference that cover more than half of each of two or
            more predicted ones.
        missed: Instances of the reference of which predicted ones, taken together,
            cover less than half.
        debris: Predicted instances that lie on those of the reference, taken together,
            with less than half of their pixels.
    """

    n_reference: int
    n_predicted: int
    true_positives: np.ndarray
    merges: int
    splits: int
    missed: int
    debris: int

    def f1(self, threshold: float) -> float:
        """2 TP / (2 TP + FP + FN) at a threshold; NaN without any instance."""
        place = int(np.argmin(np.abs(THRESHOLDS - threshold)))
        assert math.isclose(THRESHOLDS[place], threshold), threshold
        total = self.n_reference + self.n_predicted
        return 2 * int(self.true_positives[place]) / total if total else math.nan

    @property
    def ap(self) -> float:
        """Mean over the thresholds of TP / (TP + FP + FN); NaN without any instance."""
        union = self.n_reference + self.n_predicted - self.true_positives
        total = self.n_reference + self.n_predicted
        return float((self.true_positives / union).mean()) if total else math.nan


def count_matches(reference: np.ndarray, prediction: np.ndarray) -> Counts:
    """Counts of an image.

    Args:
        reference: Instance ids in any numbering, 0 for none; integers of any shape.
        prediction: Predicted instance ids on the same pixels.

    Returns:
        Counts; a pair needs an IoU above the threshold, as in the Data Science Bowl
        (StarDist and Cellpose also take an IoU that equals it).
    """
    assert reference.shape == prediction.shape, (reference.shape, prediction.shape)
    ids_r, r = np.unique(reference, return_inverse=True)
    ids_p, p = np.unique(prediction, return_inverse=True)
    shared = np.zeros((len(ids_r), len(ids_p)), dtype=np.int64)
    np.add.at(shared, (r.ravel(), p.ravel()), 1)
    area_r, area_p = shared.sum(axis=1), shared.sum(axis=0)
    real_r, real_p = ids_r != 0, ids_p != 0
    covered, on_nuclei = shared[:, real_p].sum(axis=1), shared[real_r].sum(axis=0)
    both = shared[np.ix_(real_r, real_p)]
    area_r, area_p = area_r[real_r], area_p[real_p]
    iou = both / np.maximum(1, area_r[:, None] + area_p[None] - both)
    return Counts(
        n_reference=len(area_r),
        n_predicted=len(area_p),
        true_positives=np.array([(iou > t).sum() for t in THRESHOLDS]),
        merges=int(((both > area_r[:, None] / 2).sum(axis=0) >= 2).sum()),
        splits=int(((both > area_p[None] / 2).sum(axis=1) >= 2).sum()),
        missed=int((covered[real_r] < area_r / 2).sum()),
        debris=int((on_nuclei[real_p] < area_p / 2).sum()),
    )


def add_counts(each: Iterable[Counts]) -> Counts:
    """Sum of the counts of images: figures of it are pooled over all instances."""
    rows = list(each)
    return Counts(
        **{
            one.name: sum(getattr(row, one.name) for row in rows)
            for one in fields(Counts)
        }
    )
