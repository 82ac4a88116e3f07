"""Rules are chosen where they pay on held-out cases, and nowhere else."""

import math
from collections.abc import Iterator

import numpy as np
import pytest

from segpipe.evaluation.measures.metrics import dice
from segpipe.segmenter.rules.choice import (
    MARGIN,
    Choice,
    candidates,
    choose_rules,
    smallest_components,
)
from segpipe.segmenter.rules.postprocessing import (
    NOTHING,
    apply_rules,
)
from tests.support.phantoms import ball
from tests.support.rules import FILL, LARGEST, NESTED, below, labels

SHAPE = (48, 48, 48)


def cases(
    *, organ: float = 9.0, speck: float = 0.0, hollow: float = 0.0
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """A ball as reference; predictions with a distant speck, or with a hole."""
    for at in (16, 17):
        drawn = ball(organ, center=(at, 16, 16))
        predicted = drawn & ~ball(hollow, center=(at, 16, 16)) if hollow else drawn
        if speck:
            predicted = predicted | ball(speck, center=(38, 38, at + 20))
        yield labels(v1=drawn), labels(v1=predicted)


def choose(pairs: list[tuple[np.ndarray, np.ndarray]], structures: int = 1):
    references, predictions = zip(*pairs, strict=True) if pairs else ((), ())
    return choose_rules(
        references, iter(predictions), n_structures=structures, voxel_volume=2.0
    )


def test_a_speck_is_dropped_by_half_of_the_smallest_drawn_component() -> None:
    pairs = list(cases(speck=3))
    (choice,) = choose(pairs)

    drawn = 2.0 * min(int((reference == 1).sum()) for reference, _ in pairs)
    assert choice.rule == below(drawn / 2)
    before = np.mean([dice(r == 1, p == 1) for r, p in pairs])
    assert choice.dice_before == pytest.approx(before)
    assert choice.dice_after == 1


def test_a_speck_larger_than_half_is_dropped_by_the_whole() -> None:
    pairs = list(cases(organ=6, speck=5.2))
    (choice,) = choose(pairs)

    drawn = 2.0 * min(int((reference == 1).sum()) for reference, _ in pairs)
    assert choice.rule == below(drawn)
    assert choice.dice_after == 1


def test_where_small_ones_are_drawn_too_only_the_largest_stays() -> None:
    """A small organ in another case forbids a size: the speck is as large as it."""
    small = labels(v1=ball(3))
    (choice,) = choose([*cases(speck=5), (small, small)])

    assert choice.rule == LARGEST
    assert choice.dice_after == 1


def test_holes_are_filled_where_references_have_none() -> None:
    (choice,) = choose(list(cases(hollow=4)))

    assert choice.rule == FILL
    assert choice.dice_after == 1


def test_a_gain_within_the_margin_changes_nothing() -> None:
    pairs = list(cases(organ=12, speck=1))
    gain = 1 - np.mean([dice(r == 1, p == 1) for r, p in pairs])
    (choice,) = choose(pairs)

    assert 0 < gain < MARGIN
    assert choice.rule == NOTHING
    assert choice.dice_after == choice.dice_before == pytest.approx(1 - gain)


def test_scattered_instances_are_left_alone() -> None:
    """Cells: many components, rings among them; some are missed, none is invented."""
    cells = [
        ball(5, center=(i, j, k)) for i in (8, 24) for j in (8, 40) for k in (8, 24, 40)
    ]
    drawn = np.any(cells, axis=0) & ~ball(2, center=(8, 8, 8))
    found = np.any(cells[:-2], axis=0) & ~ball(2, center=(8, 8, 8))
    (choice,) = choose([(labels(v1=drawn), labels(v1=found))])

    assert choice.rule == NOTHING


def test_an_invented_structure_counts_and_an_absent_one_does_not() -> None:
    """Dice is 1, 0 and, absent on both sides, none: the mean is 1/2."""
    right = labels(v1=ball(9))
    nothing = np.zeros(SHAPE, dtype=np.uint8)
    pairs = [(right, right), (nothing, labels(v1=ball(3))), (nothing, nothing)]
    (choice,) = choose(pairs)

    assert choice.dice_before == 0.5
    assert choice.rule == NOTHING


def test_one_case_of_several_does_not_decide() -> None:
    """The gain of one case equals the standard error of the mean gain."""
    right = labels(v1=ball(9))
    speckled = right | labels(v1=ball(4, center=(38, 38, 38)))
    few = [(right, speckled)] + [(right, right)] * 4
    most = [(right, speckled)] * 4 + [(right, right)]

    assert choose(few[:1])[0].rule == NOTHING
    assert choose(few)[0].rule == NOTHING
    assert choose(most)[0].rule.drops


def test_structures_choose_by_themselves() -> None:
    drawn = labels(v1=ball(9, center=(14, 14, 14)), v2=ball(9, center=(34, 34, 34)))
    speck, hole = ball(3, center=(40, 10, 10)), ball(4, center=(34, 34, 34))
    predicted = np.where(hole, 0, np.where(speck, 1, drawn)).astype(np.uint8)
    first, second, third = choose([(drawn, predicted)] * 2, structures=3)

    assert (first.rule.drops, first.rule.fill_holes) == (True, False)
    assert second.rule == FILL
    assert third.rule == NOTHING
    assert math.isnan(third.dice_before)


def test_voxels_that_nobody_annotated_do_not_count() -> None:
    reference = labels(v1=ball(9, center=(16, 16, 16))).astype(np.int16)
    predicted = reference.copy()
    predicted[ball(5, center=(38, 38, 38))] = 1
    reference[28:] = -1
    (choice,) = choose([(reference, predicted)])

    assert choice == Choice(NOTHING, 1.0, 1.0)


@pytest.mark.parametrize("axes", [(2,), (0, 1, 2)])
def test_annotated_slices_choose_no_rules(axes: tuple[int, ...]) -> None:
    """A dense reference drops the speck; slices show no component of it as a whole."""
    pairs = []
    for reference, predicted in cases(speck=5):
        known = np.zeros(SHAPE, dtype=bool)
        for axis in axes:
            np.moveaxis(known, axis, 0)[[8, 16, 38]] = True
        reference = reference.astype(np.int16)
        pairs.append((np.where(known, reference, np.int16(-1)), predicted))
    (choice,) = choose(pairs)
    (dense,) = choose(list(cases(speck=5)))

    assert choice.rule == NOTHING
    assert not choice.whole
    assert dense.rule.drops
    assert dense.whole


@pytest.mark.parametrize(("unknown", "whole"), [(27, True), (26, False), (16, False)])
def test_a_component_is_measured_if_it_touches_no_unknown_voxel(
    unknown: int, whole: bool
) -> None:
    """A ball of radius 9 about 16 ends at 25, so that 26 touches it and 27 does not."""
    drawn = ball(9, center=(16, 16, 16))
    reference = labels(v1=drawn).astype(np.int16)
    reference[unknown:] = -1
    found = smallest_components([reference], n_structures=1, voxel_volume=1.0)

    assert found == ((float(drawn.sum()) if whole else None),)


def test_without_cases_there_is_nothing_to_do() -> None:
    (choice,) = choose([])

    assert choice.rule == NOTHING


def test_the_smallest_drawn_component_is_that_of_all_cases() -> None:
    first = labels(v1=ball(5, center=(10, 10, 10)) | ball(3, center=(30, 30, 30)))
    second = labels(v1=ball(4), v3=ball(1, center=(5, 5, 5)))
    found = smallest_components([first, second], n_structures=3, voxel_volume=0.5)

    assert found == (0.5 * ball(3, center=(30, 30, 30)).sum(), None, 3.5)


def test_candidates_begin_with_nothing() -> None:
    assert candidates(None) == (NOTHING,)
    assert candidates(8.0)[:4] == (NOTHING, below(4.0), below(8.0), LARGEST)
    assert candidates(8.0)[4] == FILL
    assert candidates(8.0)[7] == LARGEST.model_copy(update={"fill_holes": True})
    assert len(candidates(8.0)) == 8


def test_rules_of_structures_that_overlap_are_chosen_by_their_unions() -> None:
    """A speck of the core inside the whole: only the core has a rule."""
    pairs = []
    for at in (22, 24):
        whole, core = ball(14, center=(at, 24, 24)), ball(6, center=(at - 4, 24, 24))
        drawn = labels(v1=whole, v2=core)
        found = labels(v1=whole, v2=core | ball(2.5, center=(at + 8, 24, 24)))
        pairs.append((drawn, found))
    references, predictions = zip(*pairs, strict=True)

    choices = choose_rules(
        references,
        iter(predictions),
        n_structures=3,
        voxel_volume=1.0,
        legend=NESTED.indexed,
    )

    assert [choice.rule.drops for choice in choices] == [False, True, False]
    assert [choice.whole for choice in choices] == [True, True, False]
    assert choices[0].dice_before == 1
    assert choices[1].dice_before == np.mean([dice(r == 2, p == 2) for r, p in pairs])
    assert choices[1].dice_after == 1
    rules = {n: choice.rule for n, choice in enumerate(choices, start=1)}
    for drawn, found in pairs:
        mended = apply_rules(found, rules, voxel_volume=1.0, legend=NESTED.indexed)
        assert (mended == drawn).all()
