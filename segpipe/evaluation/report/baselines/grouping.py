"""Grouping: cut the values of an image into groups by Otsu's thresholds."""

import numpy as np
from jaxtyping import Float, Float64, Int64

BINS = 256  # of the values, as usual for Otsu's threshold


def otsu_thresholds(
    values: Float[np.ndarray, " value"],
    weights: Float[np.ndarray, " value"] | None = None,
    *,
    groups: int,
    bins: int = BINS,
) -> Float64[np.ndarray, " threshold"]:
    """The thresholds with the largest variance between groups, for any number of them.

    The best cut of the first bins into one group more is the best of all cuts of fewer
    bins and one last group, so time grows with groups times bins squared.

    Args:
        values: Intensities.
        weights: How much each value counts; None for once each.
        groups: Number of groups, at least 1.
        bins: Number of equal parts of the range of the values.

    Returns:
        Ascending thresholds, one fewer than groups: upper ends of bins. A value equal
        to a threshold belongs to the group below. With fewer distinct values than
        groups, some groups stay empty.

    Source:
        Otsu 1979, doi:10.1109/TSMC.1979.4310076, also for several thresholds.
    """
    low, high = float(values.min()), float(values.max())
    if low == high:
        return np.full(groups - 1, high)
    counts, edges = np.histogram(values, bins, (low, high), weights=weights)
    centers = (edges[:-1] + edges[1:]) / 2
    mass = np.concatenate([[0.0], np.cumsum(counts, dtype=np.float64)])
    moment = np.concatenate([[0.0], np.cumsum(counts * centers)])
    whole = mass[None, :] - mass[:, None]  # of the bins from a row to a column
    inner = moment[None, :] - moment[:, None]
    between = np.divide(inner**2, whole, out=np.zeros_like(whole), where=whole > 0)
    between[np.tril_indices(bins + 1, -1)] = -np.inf  # a group ends after its start
    cuts = _best_cuts(between, groups)
    found: np.ndarray = edges[cuts].astype(np.float64)
    return found


def _best_cuts(
    between: Float64[np.ndarray, "start end"], groups: int
) -> Int64[np.ndarray, " cut"]:
    """Where to cut so that the sum over the groups is largest."""
    best, starts = between[0], []
    for _ in range(1, groups):
        sums = best[:, None] + between
        starts.append(sums.argmax(axis=0))
        best = sums.max(axis=0)
    cuts, end = [], len(between) - 1
    for start in reversed(starts):
        end = int(start[end])
        cuts.append(end)
    return np.array(cuts[::-1], dtype=np.int64)
