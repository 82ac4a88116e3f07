"""Instances are counted as arithmetic says."""

import numpy as np
import pytest

from experiments.matching import THRESHOLDS, add_counts, count_matches


def bars(*widths: int, gap: int = 0, first: int = 1) -> np.ndarray:
    """A row of instances of some widths, 10 pixels high, with gaps between them."""
    columns: list[int] = []
    for number, width in enumerate(widths, start=first):
        columns += [number] * width + [0] * gap
    return np.tile(np.array(columns, dtype=np.int32), (10, 1))


def test_equal_instances_match_at_every_threshold_whatever_their_numbers() -> None:
    found = count_matches(bars(10, 20, 30), bars(10, 20, 30, first=7))

    assert found.true_positives.tolist() == [3] * 10
    assert (found.f1(0.5), found.ap) == (1, 1)
    assert (found.merges, found.splits, found.missed, found.debris) == (0, 0, 0, 0)


def test_a_shifted_bar_matches_up_to_its_iou() -> None:
    """The bars share 8 of 10 columns: the IoU is 8 / 12 = .667, above 4 thresholds."""
    reference, prediction = np.zeros((2, 10, 20), dtype=np.int32)
    reference[:, 2:12], prediction[:, 4:14] = 1, 1
    found = count_matches(reference, prediction)

    assert found.true_positives.tolist() == [1] * 4 + [0] * 6
    assert found.f1(0.65) == 1
    assert found.f1(0.7) == 0
    assert found.ap == pytest.approx(0.4)


def test_an_iou_that_equals_the_threshold_is_no_match() -> None:
    half = count_matches(bars(10), np.where(np.arange(10) < 5, 1, 0) * bars(10))

    assert half.true_positives.sum() == 0


def test_two_in_one_are_a_merge_and_one_in_two_a_split() -> None:
    two, one = bars(10, 10), bars(20)

    merged, split = count_matches(two, one), count_matches(one, two)
    assert (merged.merges, merged.splits, merged.missed, merged.debris) == (1, 0, 0, 0)
    assert (split.merges, split.splits, split.missed, split.debris) == (0, 1, 0, 0)


def test_what_is_hardly_covered_is_missed_and_what_lies_outside_is_debris() -> None:
    """Covered are 4 of 10 columns of a bar; a prediction has 4 of 9 columns on one."""
    reference = bars(10, 10, gap=10)
    prediction = np.zeros_like(reference)
    prediction[:, 0:4], prediction[:, 26:35] = 1, 2
    found = count_matches(reference, prediction)

    assert (found.missed, found.debris) == (2, 1)


def test_pieces_that_cover_a_nucleus_together_do_not_miss_it() -> None:
    found = count_matches(bars(9), bars(3, 3, 3))

    assert (found.missed, found.splits, found.debris) == (0, 1, 0)
    assert found.true_positives.sum() == 0


def test_sums_are_pooled_over_nuclei_and_not_over_images() -> None:
    """One image with 1 of 1 found, one with 0 of 3: F1 is 2 x 1 / (4 + 1)."""
    whole = add_counts(
        [
            count_matches(bars(10), bars(10)),
            count_matches(bars(10, 10, 10), np.zeros((10, 30), dtype=np.int32)),
        ]
    )

    assert whole.f1(0.5) == pytest.approx(0.4)
    assert whole.ap == pytest.approx(1 / 4)
    assert whole.missed == 3


def test_an_image_without_instances_has_no_score() -> None:
    nothing = np.zeros((4, 4), dtype=np.int32)

    assert np.isnan(count_matches(nothing, nothing).f1(0.5))
    assert np.isnan(count_matches(nothing, nothing).ap)
    assert count_matches(nothing, bars(4)[:4]).ap == 0


def test_the_thresholds_are_those_of_the_data_science_bowl() -> None:
    assert THRESHOLDS.tolist() == [
        0.5,
        0.55,
        0.6,
        0.65,
        0.7,
        0.75,
        0.8,
        0.85,
        0.9,
        0.95,
    ]
