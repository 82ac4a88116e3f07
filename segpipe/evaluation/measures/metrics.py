"""Metrics: (reference, prediction) -> numbers.

Functions named ``*_of`` take a confusion matrix, which may be summed over a data set,
and give figures of each class; or of each structure, with a table of the classes that
it holds (``Legend.table``). The others take one pair of masks.
"""

import math
from dataclasses import dataclass

import edt
import numpy as np
from jaxtyping import Bool, Float64, Int64, Integer
from scipy import ndimage

from segpipe.project.errors import DataError

Mask = Bool[np.ndarray, "i j k"]
Confusion = Int64[np.ndarray, "classes classes"]
PerClass = Float64[np.ndarray, " structures"]
Table = Bool[np.ndarray, "structures classes"]  # whether a structure holds a class
CHUNK = 2**22  # voxels counted at once, which bounds the memory


def confusion_matrix(
    reference: Integer[np.ndarray, "*shape"],
    prediction: Integer[np.ndarray, "*shape"],
    *,
    n_classes: int,
    ignore: int | None,
) -> Confusion:
    """Count voxels by their class in the reference (rows) and prediction (columns).

    Args:
        reference: Class indices; voxels equal to ``ignore`` are left out.
        prediction: Class indices.
        n_classes: Number of classes, background included.
        ignore: Index that means *not annotated*, if any.

    Raises:
        DataError: If another index occurs.
    """
    counts = np.zeros(n_classes**2, dtype=np.int64)
    r, p = reference.reshape(-1), prediction.reshape(-1)
    for start in range(0, r.size, CHUNK):
        rows = r[start : start + CHUNK].astype(np.int64)
        columns = p[start : start + CHUNK].astype(np.int64)
        if ignore is not None:
            known = rows != ignore
            rows, columns = rows[known], columns[known]
        for name, part in (("reference", rows), ("prediction", columns)):
            if part.size and (part.min() < 0 or part.max() >= n_classes):
                raise DataError(
                    f"{name}: expected classes from 0 to {n_classes - 1}, found "
                    f"{part.min()} to {part.max()}; was it made for other structures?"
                )
        counts += np.bincount(rows * n_classes + columns, minlength=n_classes**2)
    return counts.reshape(n_classes, n_classes)


def _share(part: np.ndarray, whole: np.ndarray) -> PerClass:
    """Ratio of part to whole; NaN where the whole is 0."""
    nothing = np.full(part.shape, np.nan)
    np.divide(part, whole, out=nothing, where=whole > 0, dtype=np.float64)
    return nothing


def _counts(
    confusion: Confusion, table: Table | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Voxels of each structure: in both, in the reference, in the prediction."""
    if table is None:
        return np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    held = table.astype(np.int64)
    both = np.einsum("sr,rp,sp->s", held, confusion, held)
    return both, held @ confusion.sum(axis=1), held @ confusion.sum(axis=0)


def pixel_accuracy_of(confusion: Confusion) -> float:
    """Pixel accuracy, the share of correct voxels; NaN without any voxel.

    Source:
        Long 2015, arXiv:1411.4038, section 5, also for recall, IoU, their means and the
        frequency-weighted IoU.
    """
    total = int(confusion.sum())
    return float(np.trace(confusion)) / total if total else math.nan


def recall_of(confusion: Confusion, table: Table | None = None) -> PerClass:
    """Correct voxels over those of the reference; NaN for what is absent from it."""
    both, reference, _ = _counts(confusion, table)
    return _share(both, reference)


def precision_of(confusion: Confusion, table: Table | None = None) -> PerClass:
    """Correct voxels over the predicted ones; NaN for what is not predicted."""
    both, _, predicted = _counts(confusion, table)
    return _share(both, predicted)


def iou_of(confusion: Confusion, table: Table | None = None) -> PerClass:
    """Intersection over union; NaN for what is absent from both."""
    both, reference, predicted = _counts(confusion, table)
    return _share(both, reference + predicted - both)


def dice_of(confusion: Confusion, table: Table | None = None) -> PerClass:
    """Dice = F1 = 2 J / (1 + J); NaN for what is absent from both."""
    both, reference, predicted = _counts(confusion, table)
    return _share(2 * both, reference + predicted)


def mean_of(values: PerClass) -> float:
    """Mean without NaN: MPA of the recalls, mIoU of the IoUs; NaN if all are NaN."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else math.nan


def frequency_weighted_iou_of(confusion: Confusion) -> float:
    """Mean IoU of the classes, weighted by their shares of the reference."""
    shares = _share(confusion.sum(axis=1), np.asarray(confusion.sum()))
    return float(np.nansum(shares * iou_of(confusion)))


def dice(reference: Mask, prediction: Mask) -> float:
    """Dice similarity coefficient, 2|A and B| / (|A| + |B|).

    Args:
        reference: Where the structure is.
        prediction: Where it was predicted, on the same grid.

    Returns:
        From 0 (no overlap) to 1 (the same mask); NaN if both masks are empty, so that
        a case without the structure does not lift the mean.

    Source:
        Dice 1945, doi:10.2307/1932409. NaN for two empty masks as in nnU-Net v2.
    """
    total = int(reference.sum()) + int(prediction.sum())
    return 2 * int((reference & prediction).sum()) / total if total else math.nan


def iou(reference: Mask, prediction: Mask) -> float:
    """Intersection over union (Jaccard index); NaN if both masks are empty."""
    union = int((reference | prediction).sum())
    return int((reference & prediction).sum()) / union if union else math.nan


@dataclass(frozen=True, eq=False)
class SurfaceDistances:
    """Distances between two surfaces, in the unit of the spacing.

    Attributes:
        to_prediction: From each surface voxel of the reference.
        to_reference: From each surface voxel of the prediction.
    """

    to_prediction: Float64[np.ndarray, " n"]
    to_reference: Float64[np.ndarray, " m"]

    def hausdorff(self, percentile: float = 95.0) -> float:
        """Percentile of the distances, the larger of both directions (HD95)."""
        return float(
            max(
                np.percentile(self.to_prediction, percentile),
                np.percentile(self.to_reference, percentile),
            )
        )


def surface_distances(
    reference: Mask, prediction: Mask, *, spacing: tuple[float, float, float]
) -> SurfaceDistances:
    """Distances between the surfaces of two masks, neither of them empty.

    A surface voxel has a face neighbour outside the mask or outside the image. Along an
    axis with one voxel, as in 2-D images, there are no neighbours. The distances are
    computed in the box around both masks.

    Args:
        reference: Where the structure is.
        prediction: Where it was predicted, on the same grid.
        spacing: Spacing of the grid.
    """
    assert reference.any()
    assert prediction.any()
    box = ndimage.find_objects((reference | prediction).astype(np.uint8))[0]
    axes = [axis for axis, size in enumerate(reference.shape) if size > 1]
    surfaces = [_surface(mask[box], axes) for mask in (reference, prediction)]
    to_reference, to_prediction = (
        edt.edt(~surface, anisotropy=spacing, black_border=False, parallel=1)
        for surface in surfaces
    )
    return SurfaceDistances(
        to_prediction[surfaces[0]].astype(np.float64),
        to_reference[surfaces[1]].astype(np.float64),
    )


def _surface(mask: Mask, axes: list[int]) -> Mask:
    """Voxels of a mask with a face neighbour outside it, along the given axes."""
    inside = mask.copy()
    for axis in axes:
        along, kept = np.moveaxis(mask, axis, 0), np.moveaxis(inside, axis, 0)
        kept[1:] &= along[:-1]
        kept[:-1] &= along[1:]
        kept[[0, -1]] = False
    surface: np.ndarray = mask & ~inside
    return surface
