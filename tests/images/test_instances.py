"""Instances: components and their matching, by drawn examples."""

from typing import Literal

import numpy as np
import pytest
from scipy import ndimage

from segpipe.evaluation.matching import match_instances
from segpipe.images.borders import Separation
from segpipe.images.grid import Grid, Orientation
from segpipe.images.instances import (
    components,
    find_instances,
    instances_of_structures,
    lines_between,
    split_by_seeds,
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


@pytest.mark.parametrize("connectivity", ["faces", "all"])
def test_components_of_images_are_scipys_whatever_their_size(
    connectivity: Literal["faces", "all"],
) -> None:
    """cc3d's own way for 2-D masks gave wrong components, or raised, for some."""
    rng = np.random.default_rng(0)
    structure = ndimage.generate_binary_structure(3, 3 if connectivity == "all" else 1)
    for _ in range(2000):
        shape = (*rng.integers(1, 20, 2).tolist(), 1)
        mask = rng.random(shape) < rng.random()
        expected, count = ndimage.label(mask, structure)
        found = components(mask, connectivity=connectivity)

        assert found.max() == count
        assert len({*zip(found[mask], expected[mask], strict=True)}) == count


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


def discs(*centres: tuple[int, int], radius: int = 8) -> np.ndarray:
    i, j = np.ogrid[:40, :40]
    parts = [(i - a) ** 2 + (j - b) ** 2 <= radius**2 for a, b in centres]
    return np.logical_or.reduce(parts)[..., None]


PIXEL = (1.0, 1.0, 1.0)


@pytest.mark.parametrize("axis", [0, 1])
def test_seeds_by_distance_part_two_discs_where_they_meet(axis: int) -> None:
    mask = discs((12, 20), (26, 20)) if axis == 0 else discs((20, 12), (20, 26))
    found = split_by_seeds(
        mask, mask.astype(float), seeds="distance", threshold=4.0, spacing=PIXEL
    )

    halves = np.where(np.indices(mask.shape)[axis] < 19, 1, 2)
    assert ((found > 0) == mask).all()
    assert set(found[mask]) == {1, 2}
    rest = mask & (abs(np.indices(mask.shape)[axis] - 19) > 1)  # near one centre
    assert len({*zip(found[rest], halves[rest], strict=True)}) == 2


def test_the_distance_of_seeds_is_one_in_the_world() -> None:
    """Slices of 5 units: balls that touch along k lie 2 voxels apart there."""
    i, j, k = np.ogrid[:30, :30, :9]
    near = [(i - 15) ** 2 + (j - 15) ** 2 + (5.0 * (k - at)) ** 2 for at in (2, 6)]
    mask = (near[0] <= 11**2) | (near[1] <= 10.5**2)
    both = [
        split_by_seeds(
            mask, mask.astype(float), seeds="distance", threshold=5.0, spacing=spacing
        ).max()
        for spacing in ((1.0, 1.0, 5.0), (1.0, 1.0, 0.2))
    ]

    assert both == [2, 1]


def test_seeds_by_probability_part_what_a_line_of_contact_divides() -> None:
    mask = np.zeros((20, 9, 1), dtype=bool)
    mask[2:18, 2:7] = True
    inside = np.where(mask, 0.9, 0.0)
    inside[9:11] = 0.3

    found = split_by_seeds(
        mask, inside, seeds="probability", threshold=0.5, spacing=PIXEL
    )

    assert ((found > 0) == mask).all()
    assert set(found[2:9][mask[2:9]]) == {1}
    assert set(found[11:18][mask[11:18]]) == {2}


def test_a_component_without_a_seed_stays_an_instance() -> None:
    mask = discs((8, 8), (30, 30), radius=4)
    inside = np.where(mask, 0.9, 0.0)
    inside[20:] *= 0.5

    found = split_by_seeds(
        mask, inside, seeds="probability", threshold=0.8, spacing=PIXEL
    )

    assert (found == components(mask, connectivity="all")).all()


@pytest.mark.parametrize("seeds", ["probability", "distance"])
@pytest.mark.parametrize("shape", [(9, 11, 1), (7, 8, 6)])
def test_every_voxel_of_a_mask_belongs_to_one_part_of_its_component(
    seeds: Literal["probability", "distance"], shape: tuple[int, int, int]
) -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        mask, inside = rng.random(shape) < 0.6, rng.random(shape)
        found = split_by_seeds(mask, inside, seeds=seeds, threshold=0.7, spacing=PIXEL)
        whole = components(mask, connectivity="all")

        assert ((found > 0) == mask).all()
        assert sorted({*found[mask]}) == list(range(1, int(found.max()) + 1))
        for number in range(1, int(found.max()) + 1):
            own = found == number
            assert len({*whole[own]}) == 1
            assert ndimage.label(own, np.ones((3, 3, 3)))[1] == 1
