"""Post-processing of shapes with an obvious right answer."""

import math
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from segpipe.evaluation.measures.metrics import dice
from segpipe.images.values import Legend, Unions
from segpipe.segmenter.rules.postprocessing import (
    MARGIN,
    NOTHING,
    Choice,
    StructureRule,
    apply_rules,
    candidates,
    choose_rules,
    combine_rules,
    smallest_components,
)
from tests.support.phantoms import ball

LARGEST = NOTHING.model_copy(update={"keep_largest": True})
FILL = NOTHING.model_copy(update={"fill_holes": True})
SHAPE = (48, 48, 48)


def below(smallest_mm3: float) -> StructureRule:
    return NOTHING.model_copy(update={"smallest_mm3": smallest_mm3})


def labels(**masks: np.ndarray) -> np.ndarray:
    """A label map of masks named v1, v3 ...; later ones lie above."""
    shape = next(iter(masks.values())).shape
    label = np.zeros(shape, dtype=np.uint8)
    for name, mask in masks.items():
        label[mask] = int(name[1:])
    return label


def square(*, start: int, size: int, hollow: int = 0) -> np.ndarray:
    """A square of a 40 x 40 image, with a square hole this many pixels in."""
    mask = np.zeros((40, 40, 1), dtype=bool)
    mask[start : start + size, start : start + size] = True
    if hollow:
        inner = slice(start + hollow, start + size - hollow)
        mask[inner, inner] = False
    return mask


def test_the_largest_component_stays() -> None:
    organ, speck = ball(9, center=(16, 16, 16)), ball(4, center=(38, 38, 38))
    label = labels(v1=organ | speck, v3=ball(2, center=(38, 10, 10)))
    before = label.copy()

    result = apply_rules(label, {1: LARGEST}, voxel_volume=1.0)

    np.testing.assert_array_equal(result == 1, organ)
    np.testing.assert_array_equal(result == 3, label == 3)
    np.testing.assert_array_equal(label, before)
    assert result.dtype == label.dtype


def test_of_two_largest_components_one_stays() -> None:
    first, second = ball(5, center=(10, 10, 10)), ball(5, center=(35, 35, 35))
    result = apply_rules(labels(v1=first | second), {1: LARGEST}, voxel_volume=1.0)

    np.testing.assert_array_equal(result == 1, first)


@pytest.mark.parametrize(
    ("smallest_mm3", "left"), [(4.0, 2), (4.1, 1), (13.5, 1), (99.0, 1)]
)
def test_components_below_a_volume_are_dropped(smallest_mm3: float, left: int) -> None:
    """Cubes of 8 and 27 voxels of 0.5 mm³ have 4 and 13.5 mm³; the largest stays."""
    mask = np.zeros((12, 12, 12), dtype=bool)
    mask[1:3, 1:3, 1:3] = True
    mask[6:9, 6:9, 6:9] = True
    result = apply_rules(labels(v7=mask), {7: below(smallest_mm3)}, voxel_volume=0.5)

    assert ndimage.label(result)[1] == left


def test_voxels_that_touch_at_a_corner_are_one_component() -> None:
    mask = np.zeros((6, 6, 6), dtype=bool)
    mask[1, 1, 1] = mask[2, 2, 2] = mask[3, 3, 3] = True
    result = apply_rules(labels(v1=mask), {1: below(3.0)}, voxel_volume=1.0)

    np.testing.assert_array_equal(result == 1, mask)


def test_a_hollow_ball_is_filled_and_a_tunnel_is_not() -> None:
    whole = ball(12)
    hollow = whole & ~ball(6)
    open_one = hollow.copy()
    open_one[:, 24, 24] = False

    closed = apply_rules(labels(v2=hollow), {2: FILL}, voxel_volume=1.0)
    opened = apply_rules(labels(v2=open_one), {2: FILL}, voxel_volume=1.0)

    np.testing.assert_array_equal(closed == 2, whole)
    np.testing.assert_array_equal(opened == 2, open_one)


def test_a_bowl_at_the_border_of_the_volume_holds_no_hole() -> None:
    bowl = (ball(12) & ~ball(6))[24:]
    result = apply_rules(labels(v1=bowl), {1: FILL}, voxel_volume=1.0)

    np.testing.assert_array_equal(result == 1, bowl)


def test_a_ring_of_an_image_is_filled_and_a_tube_of_a_volume_is_not() -> None:
    ring, disc = square(start=8, size=20, hollow=4), square(start=8, size=20)
    image = apply_rules(labels(v1=ring), {1: FILL}, voxel_volume=1.0)
    tube = np.zeros((40, 40, 6), dtype=bool)
    tube[:, :, 2:3] = ring
    volume = apply_rules(labels(v1=tube), {1: FILL}, voxel_volume=1.0)

    np.testing.assert_array_equal(image == 1, disc)
    np.testing.assert_array_equal(volume == 1, tube)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_an_image_is_flat_along_whichever_axis(axis: int) -> None:
    """The prepared grid of a sagittal image has one i."""
    ring, disc = square(start=8, size=20, hollow=4), square(start=8, size=20)
    label = labels(v1=np.moveaxis(ring, 2, axis))
    result = apply_rules(label, {1: FILL}, voxel_volume=1.0)

    np.testing.assert_array_equal(result == 1, np.moveaxis(disc, 2, axis))


def test_rings_within_rings_fill_what_they_border_on() -> None:
    """Background within the inner ring belongs to the inner ring."""
    outer = square(start=2, size=34, hollow=4)
    inner = square(start=12, size=14, hollow=4)
    label = labels(v1=outer, v2=inner)
    within = square(start=16, size=6)
    between = square(start=6, size=26) & ~square(start=12, size=14)

    both = apply_rules(label, {1: FILL, 2: FILL}, voxel_volume=1.0)
    alone = apply_rules(label, {1: FILL}, voxel_volume=1.0)

    np.testing.assert_array_equal(both == 1, outer | between)
    np.testing.assert_array_equal(both == 2, inner | within)
    np.testing.assert_array_equal(alone == 1, outer | between)
    np.testing.assert_array_equal(alone == 0, (label == 0) & ~between)


def test_a_speck_that_its_rule_drops_leaves_a_hole_to_fill() -> None:
    organ, speck = square(start=8, size=20), square(start=14, size=2)
    label = labels(v1=organ, v2=speck | square(start=32, size=5))

    result = apply_rules(label, {1: FILL, 2: below(5.0)}, voxel_volume=1.0)

    np.testing.assert_array_equal(result == 1, organ)


label_maps = st.builds(
    lambda seed, shape, share: np.where(
        np.random.default_rng(seed).random(shape) < share,
        np.random.default_rng(seed + 1).integers(1, 4, shape),
        0,
    ).astype(np.int16),
    st.integers(0, 2**31),
    st.sampled_from([(9, 8, 7), (16, 14, 1), (5, 1, 9), (1, 1, 6)]),
    st.floats(0, 1),
)
some_rules = st.dictionaries(
    st.integers(1, 4),
    st.builds(
        StructureRule,
        keep_largest=st.booleans(),
        smallest_mm3=st.sampled_from([0.0, 2.0, 7.5, 1e6]),
        fill_holes=st.booleans(),
    ),
)


@given(label=label_maps, voxel_volume=st.floats(0.01, 10))
@settings(deadline=None)
def test_rules_that_do_nothing_are_the_identity(label, voxel_volume) -> None:
    rules = dict.fromkeys(range(1, 5), NOTHING)

    np.testing.assert_array_equal(
        apply_rules(label, rules, voxel_volume=voxel_volume), label
    )
    np.testing.assert_array_equal(
        apply_rules(label, {}, voxel_volume=voxel_volume), label
    )


@given(label=label_maps, rules=some_rules)
@settings(deadline=None, max_examples=200)
def test_structures_overwrite_nothing_but_background(label, rules) -> None:
    """A structure loses voxels only by its own rule and gains them only by filling."""
    result = apply_rules(label, rules, voxel_volume=1.0)

    for value in range(1, 4):
        before, after = label == value, result == value
        rule = rules.get(value, NOTHING)
        if not rule.drops:
            assert not (before & ~after).any()
        if not rule.fill_holes:
            assert not (after & ~before).any()
    fills = {v: NOTHING.model_copy(update={"fill_holes": True}) for v in rules}
    filled = apply_rules(label, fills, voxel_volume=1.0)
    np.testing.assert_array_equal(filled[label > 0], label[label > 0])


@given(label=label_maps)
@settings(deadline=None)
def test_holes_of_a_single_structure_are_scipys(label) -> None:
    mask = label > 0
    flat = [axis for axis, size in enumerate(mask.shape) if size == 1]
    expected = ndimage.binary_fill_holes(mask.squeeze()).reshape(mask.shape)

    result = apply_rules(labels(v1=mask), {1: FILL}, voxel_volume=1.0)

    assert len(flat) < 3
    np.testing.assert_array_equal(result == 1, expected)


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


def test_an_ensemble_does_what_all_folds_chose() -> None:
    both = LARGEST.model_copy(update={"fill_holes": True})

    assert combine_rules([(both, below(5.0)), (FILL, below(3.0))]) == (FILL, below(3.0))
    assert combine_rules([(LARGEST,), (below(5.0),)]) == (NOTHING,)
    assert combine_rules([(both,)]) == (both,)
    assert combine_rules([(both,), ()]) == ()


def test_a_rule_says_what_it_does() -> None:
    both = StructureRule(keep_largest=True, smallest_mm3=0.0, fill_holes=True)

    assert both.words("mm") == "keep the largest component and fill holes"
    assert below(12.5).words("mm") == "drop components below 12.5 mm³"
    assert below(12.0).words("px") == "drop components below 12 voxels"
    assert NOTHING.words("mm") == "nothing"


# A core in a whole, by values 5 and 7; and a vessel that may lie anywhere, by 9.
NESTED = Legend(
    ("background", "whole", "core", "vessel"),
    (0, 5, 7, 9),
    Unions(values=((5, 7), (7,), (9,)), order=(5, 7, 9)),
)


def test_a_core_that_is_dropped_becomes_what_is_around_it() -> None:
    whole, core = ball(14, center=(24, 24, 24)), ball(5, center=(20, 24, 24))
    speck = ball(2, center=(32, 24, 24))
    label = labels(v5=whole, v7=core | speck)

    result = apply_rules(label, {2: LARGEST}, voxel_volume=1.0, legend=NESTED)

    assert (result == labels(v5=whole, v7=core)).all()


def test_a_whole_that_is_dropped_takes_its_core_along() -> None:
    """Its voxels of both values are one component, which is larger than its parts."""
    whole, core = ball(9, center=(14, 24, 24)), ball(7, center=(14, 24, 24))
    other, own = ball(6, center=(38, 24, 24)), ball(5, center=(38, 24, 24))
    vessel = ball(2, center=(38, 5, 5))
    label = labels(v5=whole | other, v7=core | own, v9=vessel)

    result = apply_rules(label, {1: LARGEST}, voxel_volume=1.0, legend=NESTED)

    assert (result == labels(v5=whole, v7=core, v9=vessel)).all()


def test_a_hole_is_filled_with_what_is_around_it() -> None:
    """A hole of the core may hold the whole, but not a vessel: that stays."""
    whole, core = ball(14, center=(24, 24, 24)), ball(10, center=(24, 24, 24))
    hole, vessel = ball(2, center=(20, 24, 24)), ball(2, center=(29, 24, 24))
    empty = ball(1, center=(24, 30, 24))
    label = labels(v5=whole, v7=core)
    label[hole], label[vessel], label[empty] = 5, 9, 0

    result = apply_rules(label, {2: FILL}, voxel_volume=1.0, legend=NESTED)

    expected = labels(v5=whole, v7=core, v9=vessel)
    assert (result == expected).all()


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
