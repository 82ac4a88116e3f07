"""Matches against those of sets of voxels, and the papers' definitions."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segpipe.evaluation.matching import (
    IOU_STEPS,
    average_precision,
    match_instances,
    overlap_instances,
    sum_matches,
)
from segpipe.evaluation.measures.panoptic import count_panoptic


def row(text: str) -> np.ndarray:
    """Ids along i, one digit each."""
    return np.array([int(digit) for digit in text]).reshape(-1, 1, 1)


def test_equal_instances_match_in_any_numbering() -> None:
    match = match_instances(row("1102233"), row("5508877"))

    assert (match.true_positives, match.f1, match.mean_iou) == (3, 1, 1)
    assert (match.merges, match.splits) == (0, 0)
    assert (match.n_reference, match.n_predicted) == (3, 3)


def test_an_iou_of_one_half_does_not_match() -> None:
    """Kirillov 2019: strictly above, so that a pair is unique."""
    match = match_instances(row("11110000"), row("11000000"))

    assert match.true_positives == 0
    assert match.f1 == 0
    better = match_instances(row("11110000"), row("11100000"))
    assert better.true_positives == 1
    assert better.mean_iou == 0.75


def test_two_instances_in_one_prediction_are_a_merge() -> None:
    match = match_instances(row("1111222"), row("5555555"))

    assert (match.merges, match.splits) == (1, 0)
    assert (match.n_reference, match.n_predicted) == (2, 1)
    assert match.true_positives == 1  # 4 of 7
    assert match.f1 == 2 / 3


def test_one_instance_in_two_predictions_is_a_split() -> None:
    match = match_instances(row("1111111"), row("5555666"))

    assert (match.merges, match.splits) == (0, 1)


def test_an_overlap_of_less_than_half_is_neither() -> None:
    match = match_instances(row("11112222"), row("11111222"))

    assert (match.merges, match.splits) == (0, 0)
    assert match.true_positives == 2


def test_what_nobody_annotated_is_left_out() -> None:
    reference, prediction = row("11100000"), row("11111199")
    unknown = row("00011111").astype(bool)

    match = match_instances(reference, prediction, ignore=unknown)
    assert match.f1 == 1
    assert match.n_predicted == 1


def test_nothing_on_both_sides_has_no_score() -> None:
    match = match_instances(row("000"), row("000"))

    assert math.isnan(match.f1)
    assert math.isnan(match.mean_iou)


@settings(deadline=None)
@given(st.integers(0, 500))
def test_a_pair_matches_once_and_both_ways_alike(seed: int) -> None:
    rng = np.random.default_rng(seed)
    reference, prediction = rng.integers(0, 4, (2, 30, 1, 1))
    one, other = (
        match_instances(reference, prediction),
        match_instances(prediction, reference),
    )

    assert one.true_positives == other.true_positives
    assert one.true_positives <= min(one.n_reference, one.n_predicted)
    assert (one.merges, one.splits) == (other.splits, other.merges)


def pieces(ids: np.ndarray) -> list[set[int]]:
    return [set(np.flatnonzero(ids == n).tolist()) for n in np.unique(ids[ids > 0])]


def holders(whole: list[set[int]], parts: list[set[int]]) -> int:
    """How many hold more than half of two or more of the others, one at a time."""
    held = [sum(len(one & part) > len(part) / 2 for part in parts) for one in whole]
    return sum(count >= 2 for count in held)


# Sorted ids are neighbouring runs: they overlap as cells of an image do.
RUNS = st.lists(st.integers(0, 4), min_size=20, max_size=20).map(sorted)


@settings(deadline=None)
@given(RUNS, RUNS, st.permutations([3, 70, 2_000_000, 12]))
def test_matches_are_those_of_sets_of_voxels(
    left: list[int], right: list[int], names: list[int]
) -> None:
    reference, prediction = np.array(left), np.array([0, *names])[right]
    match = match_instances(reference, prediction)

    ours, theirs = pieces(reference), pieces(prediction)
    ious = [len(a & b) / len(a | b) for a in ours for b in theirs]
    hits = [iou for iou in ious if iou > 0.5]
    assert (match.n_reference, match.n_predicted) == (len(ours), len(theirs))
    assert match.true_positives == len(hits)
    assert match.merges == holders(theirs, ours)
    assert match.splits == holders(ours, theirs)
    if hits:
        assert match.mean_iou == pytest.approx(sum(hits) / len(hits))


def test_average_precision_counts_each_step_of_iou() -> None:
    """IoU .75 passes .5 to .7, 5 of 10 steps; 1 passes all of them; one is missed."""
    found = overlap_instances(row("1111022220333"), row("1110022220000"))

    assert average_precision([found]) == pytest.approx((5 * 2 / 3 + 5 * 1 / 4) / 10)
    assert math.isnan(average_precision([overlap_instances(row("00"), row("00"))]))


def test_debris_costs_precision_until_it_is_dropped() -> None:
    found = overlap_instances(row("1111100000"), row("1111100203"))

    assert average_precision([found]) == pytest.approx(1 / 3)
    assert average_precision([found], smallest=2.0) == 1
    assert average_precision([found], smallest=6.0) == 0


@settings(deadline=None)
@given(RUNS, RUNS, st.integers(0, 6))
def test_average_precision_is_that_of_the_matches(
    left: list[int], right: list[int], smallest: int
) -> None:
    """By definition TP / (TP + FP + FN) at each IoU, without what is too small."""
    reference, prediction = np.array(left), np.array(right)
    sizes = np.bincount(prediction)
    kept = np.where(sizes[prediction] >= smallest, prediction, 0)
    shares = []
    for step in range(10):
        match = match_instances(reference, kept, iou_threshold=0.5 + 0.05 * step)
        hits = match.true_positives
        total = match.n_reference + match.n_predicted - hits
        shares.append(hits / total if total else math.nan)
    found = average_precision(
        [overlap_instances(reference, prediction)], smallest=float(smallest)
    )

    assert found == pytest.approx(np.mean(shares), nan_ok=True)


def bars(*widths: int, gap: int = 0, first: int = 1) -> np.ndarray:
    """A row of instances of some widths, 10 pixels high, with gaps between them."""
    columns: list[int] = []
    for number, width in enumerate(widths, start=first):
        columns += [number] * width + [0] * gap
    return np.tile(np.array(columns, dtype=np.int32), (10, 1))


def test_equal_instances_match_at_every_threshold_whatever_their_numbers() -> None:
    found = match_instances(bars(10, 20, 30), bars(10, 20, 30, first=7))

    assert found.hits == (3,) * 10
    assert (found.f1_at(0.5), found.average_precision) == (1, 1)
    assert (found.merges, found.splits, found.missed, found.debris) == (0, 0, 0, 0)


def test_a_shifted_bar_matches_up_to_its_iou() -> None:
    """The bars share 8 of 10 columns: the IoU is 8 / 12 = .667, above 4 thresholds."""
    reference, prediction = np.zeros((2, 10, 20), dtype=np.int32)
    reference[:, 2:12], prediction[:, 4:14] = 1, 1
    found = match_instances(reference, prediction)

    assert found.hits == (1,) * 4 + (0,) * 6
    assert found.f1_at(0.65) == 1
    assert found.f1_at(0.7) == 0
    assert found.average_precision == pytest.approx(0.4)


def test_an_iou_that_equals_the_threshold_is_no_match() -> None:
    half = match_instances(bars(10), np.where(np.arange(10) < 5, 1, 0) * bars(10))

    assert sum(half.hits) == 0


def test_two_in_one_are_a_merge_and_one_in_two_a_split() -> None:
    two, one = bars(10, 10), bars(20)

    merged, split = match_instances(two, one), match_instances(one, two)
    assert (merged.merges, merged.splits, merged.missed, merged.debris) == (1, 0, 0, 0)
    assert (split.merges, split.splits, split.missed, split.debris) == (0, 1, 0, 0)


def test_what_is_hardly_covered_is_missed_and_what_lies_outside_is_debris() -> None:
    """Covered are 4 of 10 columns of a bar; a prediction has 4 of 9 columns on one."""
    reference = bars(10, 10, gap=10)
    prediction = np.zeros_like(reference)
    prediction[:, 0:4], prediction[:, 26:35] = 1, 2
    found = match_instances(reference, prediction)

    assert (found.missed, found.debris) == (2, 1)


def test_pieces_that_cover_a_nucleus_together_do_not_miss_it() -> None:
    found = match_instances(bars(9), bars(3, 3, 3))

    assert (found.missed, found.splits, found.debris) == (0, 1, 0)
    assert sum(found.hits) == 0


def test_sums_are_pooled_over_nuclei_and_not_over_images() -> None:
    """One image with 1 of 1 found, one with 0 of 3: F1 is 2 x 1 / (4 + 1)."""
    whole = sum_matches(
        [
            match_instances(bars(10), bars(10)),
            match_instances(bars(10, 10, 10), np.zeros((10, 30), dtype=np.int32)),
        ]
    )

    assert whole.f1_at(0.5) == pytest.approx(0.4)
    assert whole.average_precision == pytest.approx(1 / 4)
    assert whole.missed == 3


def test_an_image_without_instances_has_no_score() -> None:
    nothing = np.zeros((4, 4), dtype=np.int32)

    assert np.isnan(match_instances(nothing, nothing).f1_at(0.5))
    assert np.isnan(match_instances(nothing, nothing).average_precision)
    assert match_instances(nothing, bars(4)[:4]).average_precision == 0


def test_the_thresholds_are_those_of_the_data_science_bowl() -> None:
    assert list(IOU_STEPS) == [
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


def test_panoptic_quality_is_that_of_the_panoptic_count_of_a_thing() -> None:
    """The fixture of the literature: a match of 0.8, one missed, one invented.

    Seeds: I4.
    """
    reference = np.zeros((10, 10), dtype=np.int32)
    reference[:2, :5], reference[8, :] = 1, 2
    prediction = np.zeros_like(reference)
    prediction[:2, :4], prediction[5, :] = 1, 7

    match = match_instances(reference, prediction, iou_threshold=0.9)

    assert match.true_positives == 0  # another threshold leaves it as it is
    assert match.panoptic_quality == pytest.approx(0.4)
    assert match.segmentation_quality == pytest.approx(0.8)
    assert match.f1_at(0.5) == pytest.approx(0.5)
    both = sum_matches([match, match_instances(reference, reference)])
    assert both.panoptic_quality == pytest.approx((0.8 + 2) / (2 + 2))
    assert both.segmentation_quality == pytest.approx(2.8 / 3)


@pytest.mark.parametrize("seed", range(3))
def test_panoptic_quality_is_that_of_segments_of_one_thing(seed: int) -> None:
    """Background is a class of its own there, and is left out here."""
    rng = np.random.default_rng(seed)
    reference = np.repeat(rng.integers(0, 6, 40), rng.integers(1, 9, 40))
    prediction = np.where(rng.random(reference.size) < 0.9, reference, 0)
    kinds = ((reference > 0).astype(int), (prediction > 0).astype(int))

    counts = count_panoptic(
        (kinds[0], reference),
        (kinds[1], prediction),
        classes=2,
        things={1},
        void=None,
    )

    found = match_instances(reference, prediction)
    assert found.panoptic_quality == pytest.approx(counts.quality[1])
    assert found.segmentation_quality == pytest.approx(counts.segmentation_quality[1])
