"""Panoptic: one figure for things, which are counted, and stuff, which is not.

Source:
    Kirillov 2019, arXiv:1801.00868, section 4; ``evaluation.py`` of the authors'
    panopticapi for what is void.
"""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64, Integer

LARGEST_ID = 2**31


@dataclass(frozen=True, eq=False)
class PanopticCounts:
    """What matched, for each class; counts of several images are added.

    Attributes:
        overlap: Sum of the IoU of matched segments.
        matched: Number of matched segments (TP).
        debris: Number of predicted segments that match none (FP).
        missed: Number of segments of the reference that match none (FN).
    """

    overlap: Float64[np.ndarray, " class"]
    matched: Int64[np.ndarray, " class"]
    debris: Int64[np.ndarray, " class"]
    missed: Int64[np.ndarray, " class"]

    def __add__(self, other: "PanopticCounts") -> "PanopticCounts":
        """The counts of both together."""
        return PanopticCounts(
            self.overlap + other.overlap,
            self.matched + other.matched,
            self.debris + other.debris,
            self.missed + other.missed,
        )

    @property
    def segmentation_quality(self) -> Float64[np.ndarray, " class"]:
        """SQ of each class, the mean IoU of what matched; NaN where nothing did."""
        return _ratio(self.overlap, self.matched)

    @property
    def recognition_quality(self) -> Float64[np.ndarray, " class"]:
        """RQ of each class, the F1 of its segments; NaN for an absent class."""
        whole = self.matched + (self.debris + self.missed) / 2
        return _ratio(self.matched, whole)

    @property
    def quality(self) -> Float64[np.ndarray, " class"]:
        """PQ of each class, SQ times RQ; NaN for an absent class.

        The PQ of a data set is the mean over the classes that are not absent.
        """
        whole = self.matched + (self.debris + self.missed) / 2
        return _ratio(self.overlap, whole)


def count_panoptic(
    reference: tuple[Integer[np.ndarray, "*shape"], Integer[np.ndarray, "*shape"]],
    prediction: tuple[Integer[np.ndarray, "*shape"], Integer[np.ndarray, "*shape"]],
    *,
    classes: int,
    things: Collection[int],
    void: int | None,
) -> PanopticCounts:
    """Match the segments of an image with those of its reference.

    A segment is the voxels of one class and, if the class is a thing, of one id. Two of
    a class match if their IoU is above 1/2, which at most one pair of each can have.
    Void voxels of the reference are in no union, and a predicted segment of which more
    than half is void is not counted.

    Args:
        reference: Class and id of each voxel.
        prediction: Class and id of each voxel, on the same grid; ids need not agree.
        classes: Number of classes.
        things: Classes whose ids count; of all others, the stuff, they do not.
        void: Class of the reference that means unknown, if any.
    """
    of_reference = _segments(*reference, things)
    of_prediction = _segments(*prediction, things)
    pairs, shared = np.unique(
        np.stack([of_reference.ravel(), of_prediction.ravel()]),
        axis=1,
        return_counts=True,
    )
    known, known_sizes = np.unique(of_reference, return_counts=True)
    found, found_sizes = np.unique(of_prediction, return_counts=True)
    size_of = dict(zip(known.tolist(), known_sizes.tolist(), strict=True))
    found_of = dict(zip(found.tolist(), found_sizes.tolist(), strict=True))
    unknown = dict.fromkeys(found_of, 0)  # voxels of a predicted segment on void
    for (one, other), count in zip(pairs.T.tolist(), shared.tolist(), strict=True):
        if one // LARGEST_ID == void:
            unknown[other] += count
    overlap, counts = np.zeros(classes), np.zeros((3, classes), np.int64)
    missed, debris = set(size_of), set(found_of)
    for (one, other), count in zip(pairs.T.tolist(), shared.tolist(), strict=True):
        kind = one // LARGEST_ID
        if kind != other // LARGEST_ID or kind == void:
            continue
        iou = count / (size_of[one] + found_of[other] - unknown[other] - count)
        if iou > 0.5:
            overlap[kind] += iou
            counts[0, kind] += 1
            missed.discard(one)
            debris.discard(other)
    for other in debris:
        if unknown[other] <= found_of[other] / 2:
            counts[1, other // LARGEST_ID] += 1
    for one in missed:
        if one // LARGEST_ID != void:
            counts[2, one // LARGEST_ID] += 1
    return PanopticCounts(overlap, counts[0], counts[1], counts[2])


def _segments(
    kinds: Integer[np.ndarray, "*shape"],
    ids: Integer[np.ndarray, "*shape"],
    things: Collection[int],
) -> Int64[np.ndarray, "*shape"]:
    """One number for the class and the id of each voxel."""
    counted = np.where(np.isin(kinds, list(things)), ids, 0).astype(np.int64)
    return kinds.astype(np.int64) * LARGEST_ID + counted


def _ratio(part: np.ndarray, whole: np.ndarray) -> Float64[np.ndarray, " class"]:
    """Part over whole, and NaN where the whole is 0."""
    nothing = np.full(part.shape, np.nan)
    np.divide(part, whole, out=nothing, where=whole > 0, dtype=np.float64)
    return nothing
