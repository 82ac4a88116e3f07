"""Planes: the patient's right on the left, whatever the axes of the file."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from nibabel.affines import from_matvec
from nibabel.orientations import axcodes2ornt, inv_ornt_aff, ornt_transform

from segpipe.evaluation.report.pictures.planes import (
    EDGES,
    PLANES,
    REFERENCE,
    Exhibit,
    Structure,
    View,
    in_words,
    scale_bar,
    show_plane,
    tilt_deg,
)
from segpipe.images.formats.nifti import write_image
from segpipe.images.grid import Grid

SHAPE = (7, 9, 11)
SIDES = {  # letter to the direction in RAS+ world coordinates
    "R": (1, 0, 0),
    "L": (-1, 0, 0),
    "A": (0, 1, 0),
    "P": (0, -1, 0),
    "S": (0, 0, 1),
    "I": (0, 0, -1),
}


def stored(codes: str, *, turned_deg: float = 0.0) -> np.ndarray:
    """Affine of a file whose axes run towards these sides, by nibabel."""
    change = ornt_transform(axcodes2ornt("RAS"), axcodes2ornt(tuple(codes)))
    affine = np.diag([1.0, 2.0, 3.0, 1.0]) @ inv_ornt_aff(change, (7, 9, 11))
    a = np.radians(turned_deg)
    around_x = [[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]]
    around_z = [[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]]
    return from_matvec(np.array(around_z) @ around_x) @ affine


AFFINES = {
    **{codes: stored(codes) for codes in ("RAS", "LAS", "LPS", "PSR", "IPR", "ASL")},
    "oblique": stored("PSR", turned_deg=20.0),
}


@pytest.fixture(params=AFFINES)
def grid(request: pytest.FixtureRequest) -> Grid:
    return Grid(SHAPE, AFFINES[request.param], "mm")


def views(grid: Grid, image: np.ndarray) -> dict[str, View]:
    return {
        plane: show_plane(
            plane,
            image[None].astype(np.float32),
            {REFERENCE: (image > image.mean()).astype(np.int32)},
            grid=grid,
            window=(0.0, 1.0),
            chosen=2,
        )
        for plane in PLANES
    }


def test_the_letters_stand_where_the_affine_says(grid: Grid) -> None:
    """An image of distances towards a side is brightest at the edge with its letter."""
    indices = np.moveaxis(np.indices(SHAPE), 0, -1)
    world = indices @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    lettered = 0
    for letter, side in SIDES.items():
        for plane, view in views(grid, world @ np.array(side)).items():
            image = view.image.mean(axis=0)
            left, right, top, bottom = view.edges
            ends = {
                left: image[:, 0].mean() - image[:, -1].mean(),
                right: image[:, -1].mean() - image[:, 0].mean(),
                top: image[0].mean() - image[-1].mean(),
                bottom: image[-1].mean() - image[0].mean(),
            }
            assert view.edges == EDGES[plane]
            if letter in ends:
                assert ends[letter] == max(ends.values()) > 0
                lettered += 1
    assert lettered == 12


def test_a_mark_at_the_right_front_and_head_is_at_the_upper_left(grid: Grid) -> None:
    corners = np.argwhere(np.ones((2, 2, 2))) * (np.array(SHAPE) - 1)
    world = corners @ grid.affine[:3, :3].T
    mark = np.zeros(SHAPE)
    mark[tuple(corners[np.argmax(world.sum(axis=1))])] = 1

    for view in views(grid, mark).values():
        assert view.reference is not None
        ((_, row, column),) = np.argwhere(view.reference)
        assert (row, column) == (0, 0)


def test_the_planes_are_those_of_simpleitk_in_lps(grid: Grid, tmp_path: Path) -> None:
    image = np.random.default_rng(1).normal(size=SHAPE).astype(np.float32)
    write_image(tmp_path / "a.nii", image, grid)
    turned = sitk.DICOMOrient(sitk.ReadImage(str(tmp_path / "a.nii")), "LPS")
    volume = sitk.GetArrayFromImage(turned)  # S, P, L
    spacing = turned.GetSpacing()

    found = views(grid, image)

    from_head = volume[::-1]
    np.testing.assert_array_equal(found["axial"].image, from_head)
    np.testing.assert_array_equal(found["coronal"].image, from_head.swapaxes(0, 1))
    np.testing.assert_array_equal(found["sagittal"].image, from_head.transpose(2, 0, 1))
    assert found["axial"].pixel == pytest.approx(spacing[:2])
    assert found["coronal"].pixel == pytest.approx((spacing[0], spacing[2]))
    assert found["sagittal"].pixel == pytest.approx(spacing[1:])


def test_a_slice_bears_its_number_in_the_file(grid: Grid) -> None:
    image = np.indices(SHAPE).astype(np.float64)
    for plane in PLANES:
        for axis in range(3):
            view = views(grid, image[axis])[plane]
            if view.axis == "ijk"[axis]:
                assert [one.mean() for one in view.image] == list(view.places)
                assert view.places[view.chosen] == 2
                words = f"slice 3 of {SHAPE[axis]} ({view.axis} = 2)"
                assert view.words(view.chosen) == words


def test_one_slice_alone_is_drawn_as_in_its_volume(grid: Grid) -> None:
    image = np.random.default_rng(1).normal(size=SHAPE)
    for plane, whole in views(grid, image).items():
        axis = "ijk".index(whole.axis)
        alone = show_plane(
            plane,
            image[None].take([2], axis=1 + axis),
            {},
            grid=grid,
            window=(0.0, 1.0),
            chosen=2,
        )

        np.testing.assert_allclose(alone.image[0], whole.image[whole.chosen], rtol=1e-6)
        assert (alone.words(0), alone.chosen) == (whole.words(whole.chosen), 0)


def test_a_photo_is_drawn_as_it_is_stored() -> None:
    image = np.arange(3 * 4 * 5, dtype=np.float32).reshape(3, 4, 5, 1)
    grid = Grid.from_spacing((4, 5, 1), (1.0, 2.0, 1.0), "px")

    view = show_plane(
        "",
        image,
        {"m": image[0].astype(int)},
        grid=grid,
        window=(0.0, 60.0),
        chosen=0,
    )

    assert view.image.shape == (1, 5, 4, 3)
    np.testing.assert_array_equal(view.image[0, 2, 3], image[:, 3, 2, 0])
    assert view.predictions["m"][0, 2, 3] == image[0, 3, 2, 0]
    assert (view.edges, view.words(0), view.aspect) == ("", "", 2.0)


@pytest.mark.parametrize(
    ("width", "length"), [(35.0, 10), (100.0, 20), (7.0, 2), (0.9, 0.2), (1000.0, 200)]
)
def test_the_bar_is_a_round_length_below_a_third(width: float, length: float) -> None:
    assert scale_bar(width) == pytest.approx(length)


@pytest.mark.parametrize(("codes", "angle"), [("RAS", 0), ("PSR", 0), ("oblique", 28)])
def test_the_tilt_is_the_angle_to_the_closest_side(codes: str, angle: float) -> None:
    """Twice 20 degrees: cos 28 = cos 20 squared."""
    grid = Grid(SHAPE, AFFINES[codes], "mm")

    assert tilt_deg(grid) == pytest.approx(angle, abs=0.1)


def test_what_a_model_found_in_words() -> None:
    liver = Structure("liver", 1, {REFERENCE: 4.0, "a": 2.345, "b": 0.0, "c": 0.0})
    exhibit = Exhibit([], [liver], "ml", absent=frozenset("c"))

    assert [exhibit.found(model) for model in "abc"] == [
        "found 2.35 ml",
        "nothing found",
        "no prediction",
    ]
    assert [in_words(size) for size in (0.0, 0.01234, 56.78, 1234.5, -1024.0)] == [
        "0",
        "0.0123",
        "56.8",
        "1234",
        "-1024",
    ]
