"""Masks are painted in their order, and who loses a voxel is counted."""

import numpy as np
import pytest

from segpipe.tools.importing.reading.painting import Holders, Painting

ROWS = np.arange(10)[:, None, None]
OUTER, INNER = (ROWS >= 1) & (ROWS < 8), (ROWS >= 6) & (ROWS < 10)  # share rows 6, 7
INSIDE = {1: frozenset("w"), 2: frozenset("wc")}
APART = {1: frozenset("w"), 2: frozenset("c")}


@pytest.mark.parametrize(
    ("overlap", "holders", "shared", "contested", "nested"),
    [
        ("first", {}, 1, 2, 0),
        ("last", {}, 2, 2, 0),
        (None, {}, 2, 2, 0),
        ("first", APART, 1, 2, 0),
        # What lies inside a structure stays in it: nothing is lost.
        ("first", INSIDE, 2, 0, 2),
        (None, INSIDE, 2, 0, 2),
    ],
)
def test_a_voxel_of_two_is_contested_unless_one_holds_the_other(
    overlap: str | None, holders: Holders, shared: int, contested: int, nested: int
) -> None:
    painting = Painting(np.zeros((10, 1, 1), np.int32), overlap, holders)

    assert painting.paint(OUTER, 1) == 0
    assert painting.paint(INNER, 2) == contested
    assert painting.contested.total() == contested
    assert painting.nested.total() == nested
    wanted = np.where(INNER, 2, OUTER)
    wanted[OUTER & INNER] = shared
    assert np.array_equal(painting.array, wanted)


def test_a_box_is_painted_in_its_place() -> None:
    painting = Painting(np.zeros((4, 3, 1), np.int32), None)
    painting.paint(np.ones((2, 1), bool), 5, (slice(1, 3), slice(2, 3), 0))

    assert np.argwhere(painting.array == 5).tolist() == [[1, 2, 0], [2, 2, 0]]
