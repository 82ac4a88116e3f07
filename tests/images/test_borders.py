"""The border-weight map against its formula, one distance transform an instance."""

import math
from typing import Literal

import numpy as np
import pytest
from scipy import ndimage

from segpipe.images.borders import (
    Domain,
    Separation,
    border_weights,
    grow_back,
    separate_touching,
)

ONES = (1.0, 1.0, 1.0)


def straightforward(
    instances: np.ndarray, *, w0: float, sigma: float, spacing: tuple[float, ...]
) -> np.ndarray:
    """Ronneberger 2015, equation 2, to the letter."""
    ids = [n for n in np.unique(instances) if n != 0]
    if len(ids) < 2:
        return np.zeros(instances.shape)
    distances = [
        ndimage.distance_transform_edt(instances != n, sampling=spacing) for n in ids
    ]
    d1, d2 = np.sort(distances, axis=0)[:2]
    return np.asarray(w0 * np.exp(-((d1 + d2) ** 2) / (2 * sigma**2)))


def cells(seed: int, shape: tuple[int, int, int], count: int) -> np.ndarray:
    """Random balls of different sizes; later ones cut into earlier ones."""
    rng = np.random.default_rng(seed)
    where = np.indices(shape)
    instances = np.zeros(shape, dtype=np.int32)
    for number in range(1, count + 1):
        center = rng.uniform(0, shape).reshape(3, 1, 1, 1)
        radius = rng.uniform(1, 5)
        instances[((where - center) ** 2).sum(axis=0) < radius**2] = 3 * number
    return instances


def test_between_two_squares_the_weight_is_the_formulas() -> None:
    instances = np.zeros((30, 30, 1), dtype=np.int32)
    instances[5:10, 5:15], instances[14:20, 5:15] = 1, 2
    weights = border_weights(
        instances, w0=10.0, sigma=5.0, spacing=ONES, dimensions=2, domain="background"
    )

    # Rows 10 to 13 lie between: d1 + d2 = 5 from centre to centre, for all of them.
    expected = 10 * math.exp(-(5**2) / (2 * 5**2))
    assert weights[10:14, 10, 0] == pytest.approx([expected] * 4)
    assert not weights[instances > 0].any()


@pytest.mark.parametrize(
    ("gap", "expected"), [(1, 9.231163), (2, 8.352702), (3, 7.261490)]
)
def test_a_gap_between_two_cells_has_the_papers_weight(
    gap: int, expected: float
) -> None:
    """10 exp(-(gap + 1)^2 / 50), from voxel centre to voxel centre.

    Seeds: N3.
    """
    instances = np.zeros((20, 7, 1), dtype=np.int32)
    instances[:8], instances[8 + gap :] = 1, 2
    weights = border_weights(
        instances, w0=10.0, sigma=5.0, spacing=ONES, dimensions=2, domain="background"
    )

    assert weights[8 : 8 + gap] == pytest.approx(expected, abs=2e-6)
    assert not weights[instances > 0].any()


def test_spacing_is_the_unit_of_sigma() -> None:
    """Two voxels of 3 mm between two slabs: d1 + d2 = 9 mm."""
    instances = np.zeros((3, 3, 10), dtype=np.int32)
    instances[..., :4], instances[..., 6:] = 1, 2
    weights = border_weights(
        instances,
        w0=10.0,
        sigma=5.0,
        spacing=(1.0, 1.0, 3.0),
        dimensions=3,
        domain="background",
    )

    assert weights[..., 4:6] == pytest.approx(10 * math.exp(-(9**2) / (2 * 5**2)))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("spacing", [ONES, (0.5, 0.5, 2.0)])
def test_in_3d_it_equals_one_distance_transform_an_instance(
    seed: int, spacing: tuple[float, float, float]
) -> None:
    instances = cells(seed, (26, 24, 20), 25)
    found = border_weights(
        instances, w0=10.0, sigma=3.0, spacing=spacing, dimensions=3, domain="all"
    )

    expected = straightforward(instances, w0=10.0, sigma=3.0, spacing=spacing)
    assert np.abs(found - expected).max() < 1e-5


@pytest.mark.parametrize("domain", ["all", "background"])
def test_in_a_crowded_image_it_equals_one_distance_transform_an_instance(
    domain: Domain,
) -> None:
    instances = cells(5, (64, 64, 1), 150)
    found = border_weights(
        instances, w0=10.0, sigma=5.0, spacing=ONES, dimensions=2, domain=domain
    )

    expected = straightforward(instances[..., 0], w0=10.0, sigma=5.0, spacing=(1, 1))
    if domain == "background":
        expected[instances[..., 0] > 0] = 0
    assert np.abs(found[..., 0] - expected).max() < 1e-5


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_in_2d_each_slice_is_on_its_own(axis: int) -> None:
    instances = cells(9, (20, 18, 16), 20)
    spacing = (1.0, 2.0, 3.0)
    found = border_weights(
        instances,
        w0=10.0,
        sigma=4.0,
        spacing=spacing,
        dimensions=2,
        domain="all",
        slice_axis=axis,
    )

    plane = tuple(step for n, step in enumerate(spacing) if n != axis)
    for place in range(instances.shape[axis]):
        ids, weights = instances.take(place, axis), found.take(place, axis)
        expected = straightforward(ids, w0=10.0, sigma=4.0, spacing=plane)
        assert np.abs(weights - expected).max() < 1e-5


@pytest.mark.parametrize("ids", [[], [4]])
def test_fewer_than_two_instances_have_no_border(ids: list[int]) -> None:
    """Seeds: N3."""
    instances = np.zeros((9, 9, 3), dtype=np.int32)
    for number in ids:
        instances[2:5, 2:5] = number
    for dimensions in (2, 3):
        weights = border_weights(
            instances,
            w0=10.0,
            sigma=5.0,
            spacing=ONES,
            dimensions=dimensions,
            domain="all",
        )

        assert not weights.any()


def test_far_from_everything_the_term_is_nothing() -> None:
    instances = np.zeros((80, 5, 1), dtype=np.int32)
    instances[0], instances[3], instances[79] = 1, 2, 3
    weights = border_weights(
        instances, w0=10.0, sigma=2.0, spacing=ONES, dimensions=2, domain="all"
    )

    assert weights[1, 0, 0] > 1
    assert weights[40:60].max() < 1e-5


def test_ids_may_be_any_numbers() -> None:
    small = cells(3, (20, 20, 8), 12)
    large = np.where(small > 0, small * 1_000_003, 0).astype(np.int64)
    one, other = (
        border_weights(
            ids, w0=10.0, sigma=5.0, spacing=ONES, dimensions=3, domain="all"
        )
        for ids in (small, large)
    )

    assert one.any()
    assert np.array_equal(one, other)


def test_touching_instances_are_separated_by_a_voxel_from_each() -> None:
    instances = np.zeros((10, 6, 1), dtype=np.int32)
    instances[0:5], instances[5:8] = 1, 2
    separated = separate_touching(instances, dimensions=2)

    assert separated[:, 0, 0].tolist() == [1, 1, 1, 1, 0, 0, 2, 2, 0, 0]


def test_separated_squares_are_as_many_components() -> None:
    """Nine squares of 6 x 6 keep their outer rims: 14 x 14 of 18 x 18 voxels remain.

    Seeds: N4.
    """
    numbers = np.arange(1, 10, dtype=np.int32).reshape(3, 3, 1)
    instances = numbers.repeat(6, axis=0).repeat(6, axis=1)
    separated = separate_touching(instances, dimensions=2)

    _, count = ndimage.label(separated, np.ones((3, 3, 3)))
    assert count == 9
    assert np.count_nonzero(separated) == 14 * 14
    assert np.array_equal(separated, np.where(separated > 0, instances, 0))


def test_separation_in_2d_leaves_neighbouring_slices_alone() -> None:
    instances = np.zeros((4, 4, 2), dtype=np.int32)
    instances[:, :, 0], instances[:, :, 1] = 1, 2

    flat = separate_touching(instances, dimensions=2, slice_axis=2)
    assert np.array_equal(flat, instances)
    assert not separate_touching(instances, dimensions=3).any()


def bricks(size: int, dimensions: int) -> np.ndarray:
    """Touching squares or cubes of a size, each an instance."""
    count = 27 if dimensions == 3 else 9
    shape = (3, 3, count // 9)
    ids = np.arange(1, count + 1, dtype=np.int32).reshape(shape)
    for axis in range(dimensions):
        ids = ids.repeat(size, axis)
    return np.pad(ids, [(2, 2), (2, 2), (0, 0)])


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("finer", [1, 2, 3])
def test_growing_back_undoes_the_separation(
    dimensions: Literal[2, 3], finer: int
) -> None:
    """On the grid of the lines, and where a prediction lies on a finer one."""
    ids = bricks(5, dimensions)
    lined = separate_touching(ids, dimensions=dimensions)
    for axis in range(dimensions):
        ids, lined = ids.repeat(finer, axis), lined.repeat(finer, axis)
    made = Separation(dimensions=dimensions, slice_axis=2, spacing=(1.0, 1.0, 1.0))
    k = 1 / finer if dimensions == 3 else 1.0
    grown = grow_back(lined, made, spacing=(1 / finer, 1 / finer, k))

    assert (lined != ids).sum() > 0.2 * (ids > 0).sum()
    assert np.array_equal(grown, ids)


def test_only_gaps_as_narrow_as_a_line_are_closed() -> None:
    ids = np.array([int(n) for n in "0011002200033000"], dtype=np.int32).reshape(
        -1, 1, 1
    )
    made = Separation(dimensions=2, slice_axis=2, spacing=(1.0, 1.0, 1.0))
    grown = grow_back(ids, made, spacing=(1.0, 1.0, 1.0))

    assert "".join(map(str, grown.ravel())) == "0011122200033000"


def test_growing_in_blocks_is_growing_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    lined = separate_touching(bricks(5, 3), dimensions=3)
    made = Separation(dimensions=3, slice_axis=2, spacing=(1.0, 1.0, 1.0))
    whole = grow_back(lined, made, spacing=(1.0, 1.0, 1.0))
    monkeypatch.setattr("segpipe.images.borders.GROWN_AT_ONCE", 1000)

    assert np.array_equal(grow_back(lined, made, spacing=(1.0, 1.0, 1.0)), whole)


def test_growing_within_slices_leaves_other_slices_alone() -> None:
    ids = np.zeros((6, 6, 3), dtype=np.int32)
    ids[:3, :, 0], ids[3:, :, 1] = 1, 2
    made = Separation(dimensions=2, slice_axis=2, spacing=(1.0, 1.0, 1.0))

    assert np.array_equal(grow_back(ids, made, spacing=(1.0, 1.0, 1.0)), ids)
