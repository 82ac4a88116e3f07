"""Semantic, instance and panoptic maps become each other and lose nothing."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from segpipe.images.formats.panoptic import (
    find_segments,
    from_colours,
    join,
    merge_segments,
    split,
    to_colours,
)
from segpipe.networks.merging import Found, merge

SKY, CELL, LEAF = 1, 2, 3
THINGS = (CELL, LEAF)


def maps(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Blocks of 3 x 3 pixels with a random class and id; a class of -1 is void."""
    rng = np.random.default_rng(seed)
    classes, ids = rng.integers(-1, 4, (6, 5)), rng.integers(1, 9, (6, 5))
    ids[classes <= 0] = 0
    whole = np.ones((3, 3), int)
    return np.kron(classes, whole)[..., None], np.kron(ids, whole)[..., None]


@pytest.mark.parametrize("seed", range(3))
def test_a_panoptic_map_has_both_maps_but_no_ids_of_stuff(seed: int) -> None:
    """Each way round: nothing is lost, void included.

    Seeds: T2.
    """
    classes, ids = maps(seed)
    panoptic = join(classes, ids, things=THINGS)
    back, numbers = split(panoptic)

    assert np.array_equal(back, classes)
    for one in (-1, 0, SKY):
        assert not numbers[classes == one].any()
    for one in THINGS:
        assert np.array_equal(numbers[classes == one], ids[classes == one])
    assert np.array_equal(join(back, numbers, things=THINGS), panoptic)


@pytest.mark.parametrize("seed", range(3))
def test_instances_of_a_semantic_map_merge_to_it(seed: int) -> None:
    """The components that scipy counts, over corners too, and their union.

    Seeds: T2.
    """
    classes, _ = maps(seed)
    panoptic = find_segments(classes, things=THINGS)
    found, ids = split(panoptic)

    assert np.array_equal(found, classes)
    for one in THINGS:
        own = ids[classes == one]
        labelled, count = ndimage.label(classes[..., 0] == one, np.ones((3, 3)))
        assert len(np.unique(own)) == count
        pairs = {*zip(own.tolist(), labelled[labelled > 0].tolist(), strict=True)}
        assert len(pairs) == count  # one id a component
    kinds = {int(n): int(classes[ids == n][0]) for n in np.unique(ids) if n}
    things = np.where(np.isin(classes, THINGS), classes, 0)
    assert np.array_equal(merge_segments(ids, kinds), things)


def test_the_panoptic_map_of_scored_masks_merges_to_its_classes() -> None:
    """What ``merge`` of the networks lays is such a map.

    Seeds: T2.
    """
    square = torch.ones(4, 4, dtype=torch.bool)
    found = [Found(CELL, 0.9, (0, 0), square), Found(LEAF, 0.8, (3, 3), square)]
    stuff = torch.full((8, 8), SKY)
    classes, ids = (part.numpy() for part in merge(found, stuff, smallest_stuff=1))

    back, numbers = split(join(classes, ids, things=THINGS))
    assert np.array_equal(numbers, ids)
    assert np.array_equal(merge_segments(ids, {0: SKY, 1: CELL, 2: LEAF}), back)
    assert [int((numbers == one).sum()) for one in (0, 1, 2)] == [33, 16, 15]


def test_an_id_that_no_class_belongs_to_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        merge_segments(np.array([0, 1, 2]), {1: CELL})


def test_ids_of_colours_are_those_of_the_format() -> None:
    """R + 256 G + 256^2 B, by hand, and the largest of 24 bits.

    Seeds: T2.
    """
    colours = np.array([[0, 112, 255, 1], [0, 17, 255, 0], [0, 1, 255, 0]])

    ids = from_colours(colours)
    assert ids.tolist() == [0, 112 + 256 * 17 + 65536, 2**24 - 1, 1]
    assert np.array_equal(to_colours(ids), colours)
    with pytest.raises(AssertionError):
        to_colours(np.array([2**24]))


@pytest.mark.parametrize("kind", [np.int64, np.uint64])
def test_large_ids_run_into_no_other_class(kind: type) -> None:
    classes = np.array([CELL, CELL, LEAF, LEAF, SKY])
    ids = np.array([2**31, 5, 2**31, 2**62, 2**40]).astype(kind)

    back, numbers = split(join(classes, ids, things=THINGS))
    assert np.array_equal(back, classes)
    assert numbers.tolist() == [2, 1, 2, 3, 0]
