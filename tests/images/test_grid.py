"""Grids: the only affine arithmetic, checked by where voxels lie in the world."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from segpipe.images.grid import Grid, Orientation

SHAPE = (3, 4, 5)
ORIENTATIONS = [
    Orientation((axes[0], axes[1], axes[2]), (flips[0], flips[1], flips[2]))
    for axes in itertools.permutations(range(3))
    for flips in itertools.product([False, True], repeat=3)
]


def affine(
    spacing: tuple[float, float, float],
    degrees: tuple[float, float, float] = (0, 0, 0),
    origin: tuple[float, float, float] = (0, 0, 0),
) -> np.ndarray:
    matrix = np.eye(4)
    turn = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
    matrix[:3, :3] = turn @ np.diag(spacing)
    matrix[:3, 3] = origin
    return matrix


def world(grid: Grid) -> np.ndarray:
    """World coordinates of every voxel, as channels of an array."""
    indices = np.moveaxis(np.indices(grid.shape), 0, -1)
    places = indices @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    return np.moveaxis(places, -1, 0)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_every_voxel_keeps_its_place_in_the_world_when_axes_change(
    orientation: Orientation,
) -> None:
    grid = Grid(SHAPE, affine((0.7, 1.5, 3.0), (20, -10, 5), (-80, 12, 700)), "mm")

    moved = grid.reoriented(orientation)

    np.testing.assert_allclose(world(moved), orientation.apply(world(grid)), atol=1e-9)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_undo_is_the_exact_inverse_of_apply(orientation: Orientation) -> None:
    array = np.arange(2 * 60).reshape(2, *SHAPE)

    there = orientation.apply(array)

    assert np.shares_memory(there, array)
    np.testing.assert_array_equal(orientation.undo(there), array)


def test_there_are_48_orientations_and_each_is_brought_to_ras() -> None:
    grid = Grid(SHAPE, affine((0.7, 1.5, 3.0), (20, -10, 5)), "mm")
    canonical = [
        stored.reoriented(stored.to_canonical)
        for stored in (grid.reoriented(orientation) for orientation in ORIENTATIONS)
    ]

    assert len(canonical) == 48
    for found in canonical:
        assert found.matches(grid, tolerance=1e-9)


@given(st.tuples(*[st.floats(-180, 180)] * 3), st.tuples(*[st.floats(0.0001, 40)] * 3))
@settings(max_examples=60, deadline=None)
def test_canonical_axes_run_to_the_right_front_and_top_for_any_turn(
    degrees: tuple[float, float, float], spacing: tuple[float, float, float]
) -> None:
    grid = Grid(SHAPE, affine(spacing, degrees), "mm")

    canonical = grid.reoriented(grid.to_canonical)
    directions = canonical.affine[:3, :3] / np.array(canonical.spacing)

    assert (np.diag(directions) >= -1e-6).all()
    assert canonical.voxel_volume == pytest.approx(np.prod(spacing), rel=1e-6)


def test_the_distance_is_a_length_in_the_world() -> None:
    """A turn by 0.01 rad about the origin moves a corner 100 mm away by 1 mm."""
    grid = Grid((101, 1, 1), affine((1, 1, 1)), "mm")
    turned = Grid((101, 1, 1), affine((1, 1, 1), (0, 0, np.rad2deg(0.01))), "mm")

    assert grid.distance(turned) == pytest.approx(1, rel=1e-4)
    assert grid.matches(turned, tolerance=1.01)
    assert not grid.matches(turned, tolerance=0.99)


def test_grids_of_other_shapes_are_infinitely_far() -> None:
    first, second = (
        Grid.from_spacing(shape, (1.0, 1.0, 1.0), "mm")
        for shape in [(3, 4, 5), (4, 3, 5)]
    )

    assert first.distance(second) == float("inf")


def test_resampling_keeps_the_edges_of_the_box() -> None:
    """Voxel edges, not centres: 10 voxels of 1 mm from -0.5 mm become 4 of 2.5 mm."""
    grid = Grid.from_spacing((10, 10, 1), (1.0, 1.0, 4.0), "mm")

    fewer = grid.resampled((4, 5, 1))

    assert fewer.spacing == pytest.approx((2.5, 2, 4))
    assert fewer.corners[0] - np.array([1.25, 1, 0]) == pytest.approx([-0.5, -0.5, 0])
    assert fewer.corners[-1] + np.array([1.25, 1, 0]) == pytest.approx([9.5, 9.5, 0])


def test_the_shape_at_a_spacing_never_vanishes() -> None:
    grid = Grid.from_spacing((10, 20, 1), (1.0, 0.5, 4.0), "mm")

    assert grid.shape_at((2.0, 1.0, 100.0)) == (5, 10, 1)


def test_the_thickness_of_a_single_slice_makes_no_copies() -> None:
    """Else a 2-D image of 5 mm would be five slices at a plan's spacing of 1 mm."""
    grid = Grid.from_spacing((10, 20, 1), (1.0, 0.5, 5.0), "mm")

    assert grid.shape_at((1.0, 0.5, 1.0)) == (10, 20, 1)


def test_json_keeps_the_last_bit() -> None:
    grid = Grid(SHAPE, affine((1 / 3, 1e-4, 7), (1, 2, 3), (0.1, 0.2, 1e5)), "px")

    again = Grid.from_json(grid.to_json())

    assert again.affine.tobytes() == grid.affine.tobytes()
    assert (again.shape, again.unit) == (grid.shape, grid.unit)


def test_a_sheared_affine_is_measured_by_the_cosine_of_its_axes() -> None:
    matrix = np.eye(4)
    matrix[0, 1] = 0.75  # the second axis leans by 3:4, cosine 0.6

    assert Grid(SHAPE, matrix, "mm").largest_shear == pytest.approx(0.6)
    assert Grid(SHAPE, affine((1, 2, 3), (9, 9, 9)), "mm").largest_shear < 1e-12


def test_a_box_of_whole_voxels_begins_somewhere_in_the_whole() -> None:
    whole = Grid(SHAPE, affine((1, 2, 3), (9, 9, 9)), "mm")
    moved, aside = np.eye(4), np.eye(4)
    moved[:3, 3], aside[:3, 3] = (1, 0, 1), (0.5, 0, 0)
    small = tuple(size - 1 for size in SHAPE)

    def start(shape: tuple[int, ...], change: np.ndarray) -> object:
        part = Grid(shape, whole.affine @ change, "mm")
        return part.start_in(whole, tolerance=0.001)

    assert start((small[0], 1, small[2]), moved) == (1, 0, 1)
    assert start(SHAPE, np.eye(4)) == (0, 0, 0)
    assert start(SHAPE, moved) is None  # beyond the end
    assert start(small, aside) is None  # between two voxels
