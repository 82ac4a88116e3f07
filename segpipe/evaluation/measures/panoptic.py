"""Panoptic: one figure for things, which are counted, and stuff, which is not.

Source:
    Kirillov 2019, arXiv:1801.00868, section 4; ``evaluation.py`` of the authors'
    panopticapi for what is void.
"""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64, Integer

from segpipe.images.formats.panoptic import STEP, join


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
    than half is void is not counted. Void is no segment on either side.

    Args:
        reference: Class and id of each voxel.
        prediction: Class and id of each voxel, on the same grid; ids need not agree.
        classes: Number of classes.
        things: Classes whose ids count; of all others, the stuff, they do not.
        void: Class of the reference that means unknown, if any.
    """
    segments = join(*reference, things=things), join(*prediction, things=things)
    sizes, shared = (_sizes(segments[0]), _sizes(segments[1])), _shared(*segments)
    unknown = _on_void(shared, void)
    overlap, counts = np.zeros(classes), np.zeros((3, classes), np.int64)
    missed, debris = ({one for one in own if _kind(one) != void} for own in sizes)
    for (one, other), count in shared.items():
        if one in missed and _kind(one) == _kind(other):
            union = sizes[0][one] + sizes[1][other] - unknown[other] - count
            if count / union > 0.5:
                overlap[_kind(one)] += count / union
                counts[0, _kind(one)] += 1
                missed.discard(one)
                debris.discard(other)
    debris -= {one for one in debris if unknown[one] > sizes[1][one] / 2}
    for row, left in enumerate((debris, missed), start=1):
        for one in left:
            counts[row, _kind(one)] += 1
    return PanopticCounts(overlap, counts[0], counts[1], counts[2])


def _kind(segment: int) -> int:
    """The class of a segment."""
    return segment // STEP


def _sizes(segments: Int64[np.ndarray, "*shape"]) -> dict[int, int]:
    """Number of voxels of each segment."""
    found, sizes = np.unique(segments, return_counts=True)
    return dict(zip(found.tolist(), sizes.tolist(), strict=True))


def _shared(
    reference: Int64[np.ndarray, "*shape"], prediction: Int64[np.ndarray, "*shape"]
) -> dict[tuple[int, int], int]:
    """Number of voxels that a segment of each side share, where there are any."""
    pairs, counts = np.unique(
        np.stack([reference.ravel(), prediction.ravel()]), axis=1, return_counts=True
    )
    return dict(zip(map(tuple, pairs.T.tolist()), counts.tolist(), strict=True))


def _on_void(shared: dict[tuple[int, int], int], void: int | None) -> Counter[int]:
    """Number of voxels of each predicted segment that are void in the reference."""
    found: Counter[int] = Counter()
    for (one, other), count in shared.items():
        found[other] += count * (_kind(one) == void)
    return found


def _ratio(part: np.ndarray, whole: np.ndarray) -> Float64[np.ndarray, " class"]:
    """Part over whole, and NaN where the whole is 0."""
    nothing = np.full(part.shape, np.nan)
    np.divide(part, whole, out=nothing, where=whole > 0, dtype=np.float64)
    return nothing
