"""Groups are named by what they share with the reference."""

import numpy as np

from segpipe.evaluation.report.baselines.naming import name_groups
from segpipe.images.values import Legend, Unions

LEGEND = Legend(("background", "a", "b"), (0, 1, 2), None)


def test_a_group_has_the_class_of_most_of_its_voxels() -> None:
    counts = np.array([[1, 90, 2], [0, 5, 30], [20, 5, 1]])

    assert name_groups(counts, LEGEND) == (2, 0, 1)


def test_a_small_structure_is_named_where_its_dice_gains() -> None:
    """A majority would call all background; Dice of the last group: 2 x 8 / (20 + 10).

    To call the middle one a structure, too, would give 2 x 10 / (120 + 10).
    """
    counts = np.array([[900, 98, 12], [0, 2, 8]])
    one = Legend(("background", "a"), (0, 1), None)

    assert name_groups(np.column_stack([counts, [0, 0]])[:, :3], one) == (0, 0, 1)


def test_structures_that_overlap_are_counted_by_their_unions() -> None:
    """Whole holds both values: the group of the core counts for it, too."""
    unions = Unions(values=((1, 2), (2,)), order=(1, 2))
    legend = Legend(("background", "whole", "core"), (0, 1, 2), unions)

    assert name_groups(np.array([[9, 0, 0], [1, 5, 0], [0, 1, 6]]), legend) == (0, 1, 2)
