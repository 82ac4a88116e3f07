"""Added path length and changed volume, against arithmetic and SimpleITK."""

import numpy as np
import pytest
import SimpleITK

from segpipe.images.grid import Grid
from segpipe.images.values import Legend, Unions
from segpipe.review.corrections.figures import added_path, contour, measure_change
from tests.support.phantoms import ball

SHAPE = (30, 26, 4)


def box(i: int, j: int, wide: int, high: int, slices: int = 1) -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    mask[i : i + wide, j : j + high, 1 : 1 + slices] = True
    return mask


# Voxels on the outline of a box of a x b are 2 (a + b) - 4.
CASES = {
    "from nothing, all of the outline": (box(0, 0, 0, 0), box(5, 5, 10, 6), 28),
    "nothing changed": (box(5, 5, 10, 6), box(5, 5, 10, 6), 0),
    "all erased": (box(5, 5, 10, 6), box(0, 0, 0, 0), 0),
    "shifted by one: the new side, and two new corners": (
        box(5, 5, 10, 6),
        box(6, 5, 10, 6),
        # the side i = 15 has 6 voxels; the side i = 6 has 4 that were inside
        6 + 4,
    ),
    "one side moved out by two": (
        box(5, 5, 10, 6),
        box(5, 5, 12, 6),
        # 6 voxels of the new side, and 2 + 2 - 2 of the longer sides between
        6 + 2,
    ),
    "a hole in the middle": (
        box(5, 5, 10, 6),
        box(5, 5, 10, 6) & ~box(9, 7, 2, 2),
        8,  # its four-neighbours; its corners do not share an edge with it
    ),
    "two slices": (box(0, 0, 0, 0), box(5, 5, 10, 6, 2), 56),
    "at the edge of the image": (box(0, 0, 0, 0), box(0, 0, 4, 4), 12),
}


@pytest.mark.parametrize("name", CASES)
def test_the_added_path_of_boxes_is_arithmetic(name: str) -> None:
    before, after, voxels = CASES[name]

    assert added_path(before, after, (1.0, 1.0)) == voxels
    assert added_path(before, after, (0.5, 1.5)) == voxels  # their mean is 1
    assert added_path(before, after, (0.7, 0.7)) == pytest.approx(0.7 * voxels)


def with_simpleitk(before: np.ndarray, after: np.ndarray) -> int:
    """As PlatiPy does it: contours of each slice by a filter of ITK."""
    count = 0
    for k in range(after.shape[2]):
        old, new = (
            SimpleITK.GetArrayFromImage(
                SimpleITK.BinaryContour(
                    SimpleITK.GetImageFromArray(mask[:, :, k].astype(np.uint8)), False
                )
            )
            for mask in (before, after)
        )
        count += int(((new == 1) & (old == 0)).sum())
    return count


def test_contours_of_balls_are_those_of_itk() -> None:
    before = ball(9, shape=(32, 32, 24), center=(15, 15, 12))
    after = ball(10, shape=(32, 32, 24), center=(16, 15, 12)) & ~ball(
        3, shape=(32, 32, 24), center=(18, 12, 13)
    )
    found = added_path(before, after, (1.0, 1.0))

    assert 300 < found == with_simpleitk(before, after)
    assert contour(after).sum() == with_simpleitk(np.zeros_like(after), after)


@pytest.mark.parametrize("turned", [False, True])
def test_slices_are_axial_whatever_the_order_of_the_axes(turned: bool) -> None:
    """5 mm slices of 1 x 2 mm: a box of 10 x 6 voxels a slice, in two slices."""
    grid = Grid.from_spacing(SHAPE, (1.0, 2.0, 5.0), "mm")
    before, after = np.zeros(SHAPE, np.int16), box(5, 5, 10, 6, 2).astype(np.int16)
    legend = Legend(("background", "liver"), (0, 1), None)
    if turned:  # slices first, and upside down
        affine = grid.affine[:, [2, 0, 1, 3]].copy()
        affine[:3, 0] *= -1
        grid = Grid((SHAPE[2], SHAPE[0], SHAPE[1]), affine, "mm")
        before, after = before.transpose(2, 0, 1), after.transpose(2, 0, 1)

    change = measure_change(before, after, grid, legend)
    assert change.added_path == {"liver": pytest.approx(56 * 1.5)}
    assert change.ml == {"liver": pytest.approx(120 * 10 / 1000)}
    assert not change.is_nothing
    assert measure_change(after, after, grid, legend).is_nothing


def test_structures_that_overlap_are_measured_whole() -> None:
    """The core becomes larger inside of the whole: the whole does not change."""
    legend = Legend(
        ("background", "whole", "core"),
        (0, 1, 2),
        Unions(values=((1, 2), (2,)), order=(1, 2)),
    )
    outer = box(5, 5, 10, 8).astype(np.int16)
    before = np.where(box(8, 8, 2, 2), 2, outer)
    after = np.where(box(8, 8, 3, 2), 2, outer)
    grid = Grid.from_spacing(SHAPE, (1.0, 1.0, 1.0), "mm")

    change = measure_change(before, after, grid, legend)
    assert change.voxels == {"whole": 0, "core": 2}
    assert change.added_path == {"whole": 0, "core": 2}
