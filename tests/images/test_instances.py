"""Instances: components and their matching, by drawn examples."""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pytest
from scipy import ndimage

from segpipe.evaluation.matching import match_instances, overlap_instances
from segpipe.evaluation.measures.panoptic import count_panoptic
from segpipe.evaluation.report.pictures.views import by_instance
from segpipe.images.borders import (
    Separation,
    border_weights,
    grow_back,
    number_from_one,
    separate_touching,
)
from segpipe.images.grid import Grid, Orientation
from segpipe.images.instances import (
    components,
    distance_levels,
    find_instances,
    instances_of_structures,
    learned_levels,
    lines_between,
)
from segpipe.segmenter.preprocessing.labels import resample_instances


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


def levels_of(ids: np.ndarray, **changes: Any) -> np.ndarray:
    label = (ids > 0).astype(np.int16)
    how = {"spacing": (1.0, 1.0, 1.0), "dimensions": 3, **changes}
    return distance_levels(label, ids.astype(np.int32), **how)


def test_the_levels_of_a_square_are_its_rings() -> None:
    """7 x 7: the line, then distances 1, 2, 3 of at most 3: 4/3, 8/3 and 4 of 4."""
    ids = np.zeros((9, 9, 1), dtype=np.int32)
    ids[1:8, 1:8] = 5
    i, j, _ = np.indices(ids.shape)
    ring = np.maximum(abs(i - 4), abs(j - 4))  # 0 in the middle, 4 outside

    found = levels_of(ids)

    assert (found == np.array([5, 4, 3, 1, 0])[ring]).all()


@pytest.mark.parametrize(
    ("spacing", "power"), [((1.0, 1.0, 1.0), 2), ((1.0, 0.5, 2.0), 3)]
)
def test_the_levels_of_a_disc_and_of_a_ball_have_the_shares_of_geometry(
    spacing: tuple[float, float, float], power: int
) -> None:
    """Inside the line, depths above x are a share (1 - x)^2 or (1 - x)^3 of all."""
    radius, sizes = (60, (125, 125, 1)) if power == 2 else (30, (65, 127, 37))
    places = np.indices(sizes).T - (np.array(sizes) - 1) / 2
    ball = (((places * spacing) ** 2).sum(-1) <= radius**2).T

    found = levels_of(ball, spacing=spacing)

    inner = (found > 1).sum()
    for level in (3, 4, 5):
        share = (1 - (level - 2) / 4) ** power
        assert (found >= level).sum() / inner == pytest.approx(share, abs=0.03)


def test_levels_are_measured_in_the_world() -> None:
    """Slices lie 10 apart: inside, the depth is that within the slice."""
    ids = np.pad(np.ones((9, 9, 5), dtype=np.int32), 1)
    i, j, _ = np.indices(ids.shape)
    ring = np.maximum(abs(i - 5), abs(j - 5))  # 0 in the middle, 5 outside

    found = levels_of(ids, spacing=(1.0, 1.0, 10.0))
    flat = levels_of(ids, dimensions=2, slice_axis=2)

    rings = np.array([5, 4, 3, 2, 1, 0])[ring]
    assert (found[..., 2:5] == rings[..., 2:5]).all()
    assert (found[1:-1, 1:-1, 1] == 1).all()
    assert (flat[..., 1:6] == rings[..., 1:6]).all()


def test_touching_instances_have_two_lines_and_the_end_of_the_image_none() -> None:
    ids = np.zeros((11, 6, 1), dtype=np.int32)
    ids[:5], ids[5:] = 1, 2
    unknown = np.where(np.arange(11).reshape(-1, 1, 1) == 8, -1, 1) * (ids > 0)
    half = distance_levels(
        unknown.astype(np.int16), ids, spacing=(1.0, 1.0, 1.0), dimensions=3
    )

    assert levels_of(ids)[:, 0, 0].tolist() == [5, 4, 3, 2, 1, 1, 2, 3, 4, 5, 5]
    assert half[:, 0, 0].tolist() == [5, 4, 3, 2, 1, 1, 2, 3, 0, 5, 5]


def test_each_structure_has_its_own_levels_and_no_id_is_the_line() -> None:
    label = np.ones((14, 5, 1), dtype=np.int16)
    label[7:] = 2
    ids = np.where(label > 0, 1, 0).astype(np.int32)  # one id in both structures
    ids[:2] = 0
    found = distance_levels(label, ids, spacing=(1.0, 1.0, 1.0), dimensions=3)

    assert found[:, 2, 0].tolist() == [1, 1, 1, 3, 5, 3, 1, 1, 2, 3, 3, 4, 5, 5]
    assert learned_levels(label, found)[[0, 4, 7, 13], 2, 0].tolist() == [1, 5, 6, 10]


LINE = np.array([0, 1, 1, 2, 2, 0, 0, 3, 3, 3, 0, 0])
ALONE = np.broadcast_to(LINE[:, None, None], (12, 8, 1)).astype(np.int32)
CLASSES = (ALONE > 0).astype(np.int16)
EVEN = (1.0, 1.0, 1.0)
APART = Separation(dimensions=2, slice_axis=2, spacing=EVEN)


def ranks(ids: np.ndarray) -> np.ndarray:
    """Each id by its place among all; 0 is the first."""
    return np.searchsorted(np.unique(ids), ids)


def weights(ids: np.ndarray) -> np.ndarray:
    return border_weights(
        ids, w0=10.0, sigma=2.0, spacing=EVEN, dimensions=2, domain="all"
    )


def figures(ids: np.ndarray) -> np.ndarray:
    """What a part of the instances is worth."""
    part = np.where(ALONE == 3, 0, ALONE)
    match = match_instances(ids, part)
    return np.array([match.f1, *match.hits, *overlap_instances(part, ids).iou])


def panoptic(ids: np.ndarray) -> np.ndarray:
    part = (CLASSES, np.where(ALONE == 3, 1, ALONE))
    counts = count_panoptic((CLASSES, ids), part, classes=2, things=(1,), void=None)
    return counts.quality


@pytest.mark.parametrize("kind", [np.int64, np.uint64])
@pytest.mark.parametrize(
    "compute",
    [
        lambda ids: ranks(separate_touching(ids, dimensions=2)),
        lambda ids: ranks(grow_back(ids, APART, spacing=EVEN)),
        lambda ids: ranks(resample_instances(ids, CLASSES, CLASSES[::2])),
        lambda ids: number_from_one(ids)[0],
        lambda ids: by_instance(CLASSES, ids),
        weights,
        figures,
        panoptic,
    ],
    ids=[
        "separate",
        "grow back",
        "resample",
        "number",
        "colours",
        "weights",
        "figures",
        "panoptic",
    ],
)
def test_ids_of_64_bits_count_as_those_of_32(
    compute: Callable[[np.ndarray], np.ndarray], kind: type
) -> None:
    """Neighbours above 2^53 are one double, as which filters of scipy compute.

    What is typed ``Int32`` takes no others: the doors refuse ids beyond 32 bits.
    """
    large = np.where(ALONE > 0, ALONE.astype(np.int64) + 2**62, 0).astype(kind)

    wanted = compute(ALONE)
    assert len(np.unique(wanted)) > 1
    assert np.array_equal(compute(large), wanted)
