"""A polygon holds the pixels whose centre is inside; the right ones from elsewhere."""

from pathlib import Path

import numpy as np
import pytest

from segpipe.project.errors import DataError
from segpipe.tools.importing.reading.shapes import drawing
from segpipe.tools.importing.reading.shapes.drawing import (
    Rings,
    Runs,
    Shape,
    read_bounded,
    ring_of,
    runs_of,
    stamps,
)

SIZE = (13, 9)
PLACE = Path("a.json")
# The centres of all pixels.
X, Y = np.meshgrid(np.arange(SIZE[0]) + 0.5, np.arange(SIZE[1]) + 0.5, indexing="ij")


def ring(*corners: tuple[float, float]) -> np.ndarray:
    return np.array(corners, np.float64)


def drawn(*parts: Rings | Runs) -> np.ndarray:
    whole = np.zeros(SIZE, bool)
    for (i, j), inside in stamps(PLACE, Shape("cell", parts), SIZE):
        whole[i, j] |= inside
    return whole


TRIANGLE = ring((1.2, 0.7), (11.3, 2.1), (3.9, 8.4))
SQUARE = ring((2, 1), (8, 1), (8, 7), (2, 7))
HOLE = ring((3.6, 2.6), (6.4, 2.6), (6.4, 5.4), (3.6, 5.4))
IN_SQUARE = (X > 2) & (X < 8) & (Y > 1) & (Y < 7)
IN_HOLE = (X > 3.6) & (X < 6.4) & (Y > 2.6) & (Y < 5.4)


def in_triangle() -> np.ndarray:
    """All cross products of the edges and the way to the centre have one sign."""
    signs = [
        (x1 - x0) * (Y - y0) > (y1 - y0) * (X - x0)
        for (x0, y0), (x1, y1) in zip(TRIANGLE, np.roll(TRIANGLE, -1, 0), strict=True)
    ]
    return np.logical_and.reduce(signs)


@pytest.mark.parametrize(
    ("polygons", "inside"),
    [
        ([[TRIANGLE]], in_triangle()),
        ([[TRIANGLE[::-1]]], in_triangle()),
        ([[SQUARE]], IN_SQUARE),
        ([[SQUARE, HOLE]], IN_SQUARE & ~IN_HOLE),
        # Parts are united, wherever they overlap.
        ([[SQUARE], [TRIANGLE]], IN_SQUARE | in_triangle()),
        # A narrow polygon between the centres holds none of them.
        ([[ring((1.6, 0), (1.9, 0), (1.9, 9))]], X < 0),
        # Beyond the edge of the image it is cut.
        ([[ring((-1, -1), (4, -1), (4, 10), (-1, 10))]], X < 4),
    ],
)
def test_the_centres_inside_are_held(
    polygons: list[list[np.ndarray]], inside: np.ndarray
) -> None:
    parts = [Rings(tuple(rings)) for rings in polygons]
    assert np.array_equal(drawn(*parts), inside)


def test_polygons_with_a_common_edge_share_no_pixel_and_leave_none_out() -> None:
    """The edge runs through centres of pixels, upright and slanted."""
    for bend in (0.0, 3.0):
        edge = [(6.5 - bend, 0.0), (6.5 + bend, 9.0)]
        left = ring((0, 0), *edge, (0, 9))
        right = ring((13, 0), *edge, (13, 9))
        assert (drawn(Rings((left,))) ^ drawn(Rings((right,)))).all()


@pytest.mark.parametrize("chunk", [1, 7, 1 << 20])
def test_many_corners_are_drawn_in_chunks(
    chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawing, "CHUNK", chunk)
    turns = np.linspace(0, 2 * np.pi, 500, endpoint=False)
    circle = np.stack([6 + 4.2 * np.cos(turns), 4.5 + 4.2 * np.sin(turns)], axis=1)

    assert np.array_equal(
        drawn(Rings((circle,))), (X - 6) ** 2 + (Y - 4.5) ** 2 < 4.2**2
    )


@pytest.mark.parametrize("by_columns", [True, False])
def test_runs_fill_their_box_by_columns_or_by_rows(by_columns: bool) -> None:
    """In 2 columns and 3 rows: one out, two in, three out."""
    box = ((4, 1), (2, 3))
    whole = np.zeros(SIZE, bool)
    held = [(4, 2), (4, 3)] if by_columns else [(5, 1), (4, 2)]
    for pixel in held:
        whole[pixel] = True

    runs = runs_of(PLACE, [1, 2, 3], box, "a", by_columns=by_columns)
    assert np.array_equal(drawn(runs), whole)


@pytest.mark.parametrize("lengths", [[], [1, 2], [7], [-1, 7], [0]])
def test_runs_that_do_not_fill_their_box_are_refused(lengths: list[int]) -> None:
    with pytest.raises(DataError, match="run lengths that fill 2 x 3 pixels in here"):
        runs_of(PLACE, lengths, ((4, 1), (2, 3)), "here", by_columns=True)


@pytest.mark.parametrize(
    "part",
    [
        Rings((SQUARE + 8,)),
        Rings((SQUARE - 6,)),
        Runs(np.array([0, 200]), (0, 0), (20, 10), True),
        Runs(np.array([0, 1]), (-1, 0), (1, 1), True),
    ],
)
def test_a_shape_outside_of_its_image_is_refused(part: Rings | Runs) -> None:
    with pytest.raises(DataError, match="cell inside the image of 13 x 9 pixels"):
        drawn(part)


@pytest.mark.parametrize(
    ("corners", "words"),
    [
        (ring((1, 2), (3, 4)), "found 2"),
        (np.zeros((100_001, 2)), "found 100001"),
        (ring((1, 2), (3, 4), (np.nan, 5)), "finite"),
        (ring((1, 2), (3, 4), (np.inf, 5)), "finite"),
    ],
)
def test_a_ring_that_is_none_is_refused(corners: np.ndarray, words: str) -> None:
    with pytest.raises(DataError, match=words):
        ring_of(PLACE, corners, "annotation 7")


def test_a_document_beyond_all_size_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawing, "LARGEST_FILE", 3)
    (tmp_path / "a.json").write_text("1234")

    with pytest.raises(DataError, match="split it"):
        read_bounded(tmp_path / "a.json")
    with pytest.raises(DataError, match="found none"):
        read_bounded(tmp_path / "b.json")
