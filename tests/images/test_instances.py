"""Instances: components and their matching, by drawn examples."""

import math
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from segpipe.images.borders import Separation
from segpipe.images.grid import Grid, Orientation
from segpipe.images.instances import (
    components,
    find_instances,
    instances_of_structures,
    lines_between,
    match_instances,
)


def row(text: str) -> np.ndarray:
    """Ids of a row of voxels, a digit each."""
    return np.array([int(letter) for letter in text]).reshape(-1, 1, 1)


@pytest.mark.parametrize("connectivity", ["faces", "all"])
@pytest.mark.parametrize("shape", [(12, 11, 9), (20, 20, 1)])
def test_components_are_scipys(
    shape: tuple[int, int, int], connectivity: Literal["faces", "all"]
) -> None:
    mask = np.random.default_rng(2).random(shape) < 0.3
    rank = 3 if connectivity == "all" else 1
    expected, count = ndimage.label(mask, ndimage.generate_binary_structure(3, rank))
    found = components(mask, connectivity=connectivity)

    assert found.max() == count
    pairs = np.unique(np.stack([found[mask], expected[mask]]), axis=1)
    assert pairs.shape[1] == count
    assert not found[~mask].any()


def test_structures_that_touch_are_different_instances() -> None:
    label = np.zeros((6, 6, 1), dtype=np.int16)
    label[0:2, 0:2], label[2:4, 2:4], label[5, 5], label[0, 5] = 1, 2, 1, 7
    found = instances_of_structures(label, ignore=7)

    assert sorted(np.unique(found)) == [0, 1, 2, 3]
    assert found[0, 5, 0] == 0
    assert len({int(found[0, 0, 0]), int(found[3, 3, 0]), int(found[5, 5, 0])}) == 3


def test_instances_grow_back_over_lines_whatever_the_stored_axes() -> None:
    """Four blocks within each slice; the slices lie across the stored axis j."""
    label = np.zeros((12, 12, 4), dtype=np.int16)
    label[:, :6], label[:, 6:] = 1, 3
    quarters = np.where(np.arange(12).reshape(12, 1, 1) < 6, 1, 2) + 2 * (label == 3)
    made = Separation(dimensions=2, slice_axis=2, spacing=(1.0, 1.0, 4.0))
    lined = np.where(lines_between(label, quarters.astype(np.int32), made), 0, label)
    turn = Orientation((0, 2, 1), (True, False, False))
    grid = Grid.from_spacing((12, 12, 4), (1.0, 1.0, 4.0), "mm").reoriented(turn)
    found = find_instances(
        np.ascontiguousarray(turn.apply(lined)), grid=grid, separation=made
    )

    match = match_instances(turn.apply(quarters), found)
    assert (match.f1, match.mean_iou) == (1, 1)
    none = find_instances(turn.apply(lined).copy(), grid=grid, separation=None)
    assert np.array_equal(
        none, instances_of_structures(turn.apply(lined).copy(), ignore=None)
    )


@pytest.mark.parametrize("own", [0.999, 1.001, 1.02])
def test_lines_are_as_wide_on_a_grid_that_is_not_resampled(own: float) -> None:
    """A plan's spacing is a median: cases that differ by little keep their voxels."""
    ids = np.ones((12, 12, 12), dtype=np.int32)
    ids[5:] = 2
    ids[:, :3] = 0
    made = Separation(dimensions=3, slice_axis=2, spacing=(1.0, 1.0, 1.0))
    label = (ids > 0) & ~lines_between((ids > 0).astype(np.int16), ids, made)
    label[6, 3:] = False  # a gap of three voxels is more than a line
    found = [
        find_instances(
            label.astype(np.uint8),
            grid=Grid.from_spacing((12, 12, 12), (spacing,) * 3, "mm"),
            separation=made,
        )
        for spacing in (1.0, own)
    ]

    assert np.array_equal(*found)


@pytest.mark.parametrize("own", [1.0, 1.4, 2.0, 0.7])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_lines_are_closed_whichever_way_the_axes_run(own: float, axis: int) -> None:
    """At twice the spacing of the line, the gap is a voxel, as near to both sides."""
    line = round(2 / own)
    label = np.ones((12, 12, 12), dtype=np.uint8)
    np.moveaxis(label, axis, 0)[5 : 5 + line] = 0
    made = Separation(dimensions=3, slice_axis=2, spacing=(1.0, 1.0, 1.0))
    for turned in (label, np.flip(label, axis).copy()):
        grid = Grid.from_spacing((12, 12, 12), (own,) * 3, "mm")
        found = find_instances(turned, grid=grid, separation=made)

        assert (found > 0).all()


def test_structures_that_touch_have_no_line_between_them() -> None:
    """Their label tells them apart; a line would cost small organs their voxels."""
    label = np.zeros((12, 6, 3), dtype=np.int16)
    label[:4], label[4:6], label[8:] = 1, 2, 2
    made = Separation(dimensions=3, slice_axis=2, spacing=(1.0, 1.0, 1.0))
    ids = instances_of_structures(label, ignore=None)
    assert not lines_between(label, ids, made).any()

    halves = np.where(np.arange(6).reshape(1, 6, 1) < 3, 1, 2) * (label == 1)
    lines = lines_between(
        label, np.where(label == 1, halves, ids).astype(np.int32), made
    )
    assert sorted(np.unique(np.argwhere(lines)[:, 0])) == [0, 1, 2, 3]

    grid = Grid.from_spacing((12, 6, 3), (1.0, 1.0, 1.0), "mm")
    lined = np.where(lines, 0, label)
    grown = find_instances(lined, grid=grid, separation=made)
    assert np.array_equal(grown[:6] > 0, label[:6] > 0)
    assert not np.intersect1d(grown[:4], grown[4:]).any()


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
