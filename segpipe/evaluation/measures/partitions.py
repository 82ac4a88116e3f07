"""Partitions: agreement of two divisions of an image into regions, without matching.

Source:
    Arganda-Carreras 2015, doi:10.3389/fnana.2015.00142, section 2.2: the scores of the
    ISBI 2012 challenge of membranes, restricted to the foreground of the reference.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64, Integer
from scipy import sparse
from skimage.segmentation import watershed


@dataclass(frozen=True)
class PartitionScores:
    """Agreement of a predicted division with that of the reference; 1 is equal.

    Attributes:
        rand: V_rand with equal weight of splits and merges; one minus it is the
            adapted Rand error. NaN without foreground.
        information: V_info, twice the mutual information over the sum of the entropies.
            1 if both are one region, NaN without foreground.
    """

    rand: float
    information: float


def score_partition(
    reference: Integer[np.ndarray, "*shape"], predicted: Integer[np.ndarray, "*shape"]
) -> PartitionScores:
    """Compare two divisions of the voxels where the reference has a region.

    Args:
        reference: Ids of its regions; 0, such as a membrane, is left out.
        predicted: Ids of the predicted regions; 0 is a region of its own, so a
            predicted membrane is thinned before (``thin_borders``).
    """
    shares = _shares(reference, predicted)
    if shares is None:
        return PartitionScores(math.nan, math.nan)
    of_reference = np.asarray(shares.sum(axis=1)).ravel()
    of_predicted = np.asarray(shares.sum(axis=0)).ravel()
    together = float((shares.data**2).sum())
    alone = float((of_reference**2).sum() + (of_predicted**2).sum())
    entropies = _entropy(of_reference) + _entropy(of_predicted)
    mutual = max(entropies - _entropy(shares.data), 0.0)
    return PartitionScores(
        rand=2 * together / alone,
        information=2 * mutual / entropies if entropies else 1.0,
    )


def thin_borders(
    ids: Integer[np.ndarray, "*shape"], landscape: Float[np.ndarray, "*shape"]
) -> Integer[np.ndarray, "*shape"]:
    """Let the regions grow until their borders have no width.

    Args:
        ids: Ids of the regions; 0 for the borders.
        landscape: Grows from inside of a region to its border, such as the probability
            of a membrane; low places are flooded first.
    """
    grown: Integer[np.ndarray, "*shape"] = watershed(landscape, markers=ids)
    return grown


def _shares(
    reference: Integer[np.ndarray, "*shape"], predicted: Integer[np.ndarray, "*shape"]
) -> sparse.coo_array | None:
    """Share of the voxels in each pair of regions; None without foreground."""
    inside = reference != 0
    if not inside.any():
        return None
    rows = np.unique(reference[inside], return_inverse=True)[1].ravel()
    columns = np.unique(predicted[inside], return_inverse=True)[1].ravel()
    table = sparse.coo_array((np.full(len(rows), 1 / len(rows)), (rows, columns)))
    table.sum_duplicates()
    return table


def _entropy(shares: Float64[np.ndarray, " regions"]) -> float:
    return float(-(shares * np.log(shares)).sum())
