"""V_rand and V_info, by arithmetic and against scikit-image."""

import math

import numpy as np
import pytest
from skimage.metrics import adapted_rand_error, variation_of_information

from segpipe.evaluation.measures.partitions import score_partition, thin_borders

RNG = np.random.default_rng(1)


def test_a_merge_of_two_equal_regions_by_arithmetic() -> None:
    """Shares of .5 and .5 against 1: V_rand 2 (.25 + .25) / (.5 + 1), V_info 0.

    Seeds: M5.
    """
    scores = score_partition(np.array([1, 1, 2, 2]), np.array([7, 7, 7, 7]))

    assert scores.rand == pytest.approx(2 * 0.5 / 1.5)
    assert scores.information == 0


def test_a_split_counts_as_the_merge_the_other_way_round() -> None:
    first, second = RNG.integers(1, 5, (2, 30, 30))

    forth, back = score_partition(first, second), score_partition(second, first)

    assert forth.rand == pytest.approx(back.rand)
    assert forth.information == pytest.approx(back.information)


def test_other_numbers_of_the_same_regions_agree_entirely() -> None:
    ids = RNG.integers(1, 9, (20, 20, 4))

    scores = score_partition(ids, 100 - ids)

    assert (scores.rand, scores.information) == pytest.approx((1, 1))


def test_only_the_foreground_of_the_reference_counts() -> None:
    reference = np.array([0, 0, 1, 1, 2, 2])

    same = score_partition(reference, np.array([9, 4, 3, 3, 5, 5]))
    assert (same.rand, same.information) == pytest.approx((1, 1))
    nothing = score_partition(np.zeros(4, int), np.arange(4))
    assert math.isnan(nothing.rand)
    assert math.isnan(nothing.information)


@pytest.mark.parametrize("seed", range(5))
def test_the_scores_are_those_of_scikit_image(seed: int) -> None:
    """Its adapted Rand error is 1 - V_rand, but for pairs of a voxel with itself.

    Seeds: M5.
    """
    rng = np.random.default_rng(seed)
    reference = np.kron(rng.integers(0, 6, (8, 8)), np.ones((32, 32), int))
    predicted = np.where(rng.random((256, 256)) < 0.2, 0, np.roll(reference, 9) + 1)
    scores = score_partition(reference, predicted)

    error, _, _ = adapted_rand_error(reference, predicted, ignore_labels=(0,))
    inside = reference > 0
    ours, theirs = reference[inside], predicted[inside]
    split, merge = variation_of_information(ours, theirs, ignore_labels=())
    whole = sum(_bits(np.bincount(each)) for each in (ours, theirs))

    assert scores.rand == pytest.approx(1 - error, rel=1e-3)
    assert scores.information == pytest.approx((whole - split - merge) / whole)


def _bits(counts: np.ndarray) -> float:
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log2(shares)).sum())


def test_thinned_borders_meet_where_the_membrane_is_likeliest() -> None:
    ids = np.array([[1, 0, 0, 0, 2]] * 3)
    membrane = np.array([[0.0, 0.2, 0.4, 0.9, 0.0]] * 3)

    thin = thin_borders(ids, membrane)

    assert thin[0].tolist() == [1, 1, 1, thin[0, 3], 2]
    assert thin.min() == 1
