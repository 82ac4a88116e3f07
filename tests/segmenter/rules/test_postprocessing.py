"""Post-processing of shapes with an obvious right answer."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from segpipe.segmenter.rules.postprocessing import (
    NOTHING,
    StructureRule,
    apply_rules,
    combine_rules,
)
from tests.support.phantoms import ball
from tests.support.rules import FILL, LARGEST, NESTED, below, labels


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
