"""Otsu's thresholds against brute force and scikit-image."""

import itertools

import numpy as np
import pytest
from skimage.filters import threshold_multiotsu, threshold_otsu

from segpipe.evaluation.report.baselines.grouping import otsu_thresholds

VALUES = np.random.default_rng(0).gamma(2.0, 1.0, 4000)
STEP = (VALUES.max() - VALUES.min()) / 256


def test_two_groups_are_cut_where_scikit_image_cuts() -> None:
    """It names the centre of the bin whose upper end is the threshold here."""
    (found,) = otsu_thresholds(VALUES, groups=2)

    assert found == pytest.approx(threshold_otsu(VALUES) + STEP / 2)


def test_three_groups_are_cut_where_scikit_image_cuts() -> None:
    found = otsu_thresholds(VALUES, groups=3)

    assert found == pytest.approx(threshold_multiotsu(VALUES, classes=3) + STEP / 2)


@pytest.mark.parametrize("groups", [2, 3, 4])
def test_the_cuts_are_the_best_of_all(groups: int) -> None:
    """By weighted squares around the means of the groups, over all cuts of 12 bins."""
    rng = np.random.default_rng(groups)
    values, weights = np.arange(12) + 0.5, rng.uniform(0.1, 5, 12)
    span = np.array([0.0, *values, 12.0])
    counted = np.array([0.0, *weights, 0.0])

    def spread(cuts: tuple[int, ...]) -> float:
        total = 0.0
        for low, high in itertools.pairwise((0, *cuts, 12)):
            own, mass = values[low:high], weights[low:high]
            total += float(mass @ (own - np.average(own, weights=mass)) ** 2)
        return total

    best = min(itertools.combinations(range(1, 12), groups - 1), key=spread)
    assert otsu_thresholds(span, counted, groups=groups, bins=12).tolist() == [*best]


def test_one_value_is_one_group() -> None:
    found = otsu_thresholds(np.full(9, 3.0), groups=3)

    assert np.searchsorted(found, 3.0) == 0
