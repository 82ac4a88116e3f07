"""Naming: which structure each group of voxels is, by the labels of training cases."""

import numpy as np
from jaxtyping import Int64

from segpipe.evaluation.measures.metrics import dice_of, mean_of
from segpipe.images.values import Legend

Names = tuple[int, ...]  # number of a class, by the number of the group


def name_groups(counts: Int64[np.ndarray, "class group"], legend: Legend) -> Names:
    """Name each group after a class, by the voxels that they share.

    A group has the class that most of its voxels are. By that alone, all groups would
    be background where structures are small. So groups are renamed, one at a time, as
    long as the mean Dice of the structures over these voxels rises.

    Args:
        counts: Voxels by their class in the reference (rows) and their group.
        legend: What the classes stand for.

    Returns:
        The number of a class for each group.
    """
    names: Names = tuple(int(one) for one in counts.argmax(axis=0))
    best, before = _mean_dice(counts, names, legend), None
    while names != before:
        before = names
        for group in range(len(names)):
            for new in range(len(counts)):
                other = (*names[:group], new, *names[group + 1 :])
                score = _mean_dice(counts, other, legend)
                if score > best:
                    names, best = other, score
    return names


def _mean_dice(
    counts: Int64[np.ndarray, "class group"], names: Names, legend: Legend
) -> float:
    """Mean Dice of the structures under some names; 0 where there are none."""
    confusion = np.zeros((len(counts), len(counts)), dtype=np.int64)
    for group, name in enumerate(names):
        confusion[:, name] += counts[:, group]
    return float(np.nan_to_num(mean_of(dice_of(confusion, legend.table)[1:])))
