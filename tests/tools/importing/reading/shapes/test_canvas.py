"""Shapes become structures or instances; nothing is lost in silence."""

from pathlib import Path

import numpy as np
import pytest

from segpipe.images.grid import Grid
from segpipe.project.errors import DataError
from segpipe.tools.importing.reading.shapes.canvas import Canvas
from segpipe.tools.importing.reading.shapes.drawing import Drawing, Rings, Shape

SIZE = (12, 10)


def rectangle(name: str, start: int, stop: int, *, crowd: bool = False) -> Shape:
    """Columns from start to before stop, rows 2 to 7."""
    corners = [(start, 2), (stop, 2), (stop, 8), (start, 8)]
    return Shape(name, (Rings((np.array(corners, np.float64),)),), crowd)


def columns(**values: tuple[int, int]) -> np.ndarray:
    """The same by index: value n of v<n> in columns from and to."""
    array = np.zeros((*SIZE, 1), int)
    for name, (start, stop) in values.items():
        array[start:stop, 2:8] = int(name[1:])
    return array


def canvas(overlap: str | None = None, size: tuple[int, int] = SIZE) -> Canvas:
    grid = Grid.from_spacing((*size, 1), (1.0, 1.0, 1.0), "px")
    return Canvas(Path("a.json"), grid, overlap, [], [])


APART = Drawing((rectangle("b", 1, 4), rectangle("a", 4, 6), rectangle("b", 8, 10)))
SHARED = Drawing((rectangle("b", 1, 6), rectangle("a", 4, 8)))


def test_kinds_become_structures_and_others_are_noted() -> None:
    plain = canvas()
    found = plain.draw_structures(APART, {"b": 2, "c": 1})

    wanted = columns(v2=(1, 4)) + columns(v2=(8, 10))
    assert np.array_equal(found.array, wanted)
    assert plain.dropped == ["shapes that are not asked for: 1 of a"]


def test_each_shape_becomes_an_instance() -> None:
    found = canvas().draw_instances(APART, {"b": 1, "a": 1})

    assert np.array_equal(found.array, columns(v1=(1, 4), v2=(4, 6), v3=(8, 10)))


@pytest.mark.parametrize(
    ("overlap", "structures", "instances"),
    [
        # Structures: a comes first; instances: b is first in the document.
        ("first", columns(v2=(1, 4), v1=(4, 8)), columns(v1=(1, 6), v2=(6, 8))),
        ("last", columns(v1=(6, 8), v2=(1, 6)), columns(v1=(1, 4), v2=(4, 8))),
    ],
)
def test_a_pixel_of_two_goes_to_one_or_is_refused(
    overlap: str, structures: np.ndarray, instances: np.ndarray
) -> None:
    """Columns 4 and 5 lie in both: 12 pixels."""
    order = {"a": 1, "b": 2}
    for wanted, draw in (
        (structures, "draw_structures"),
        (instances, "draw_instances"),
    ):
        with pytest.raises(DataError, match=r"found 12 in two.*--overlap first or"):
            getattr(canvas(), draw)(SHARED, order)
        chosen = canvas(overlap)
        assert np.array_equal(getattr(chosen, draw)(SHARED, order).array, wanted)
        assert chosen.dropped == [
            f"12 pixels of a shape, which the {overlap} of two has"
        ]


def test_a_shape_that_holds_no_pixel_is_said() -> None:
    """Between columns 4 and 5 lies the centre of none."""
    corners = np.array([(4.6, 2), (5.4, 2), (5.4, 8), (4.6, 8)], np.float64)
    thin = Shape("a", (Rings((corners,)),))
    drawing = Drawing((rectangle("b", 1, 4), thin, thin))

    for draw in ("draw_structures", "draw_instances"):
        plain = canvas()
        found = getattr(plain, draw)(drawing, {"b": 1, "a": 2})
        assert np.array_equal(found.array, columns(v1=(1, 4)))
        assert plain.dropped == ["shapes in which no pixel has its centre: 2 of a"]


def test_a_crowd_is_no_instance_but_a_structure() -> None:
    crowd = Drawing((rectangle("a", 1, 4, crowd=True),))

    with pytest.raises(DataError, match="found 1 of a crowd"):
        canvas().draw_instances(crowd, {"a": 1})
    assert canvas().draw_structures(crowd, {"a": 1}).array.any()


def test_an_image_without_shapes_is_said_to_be_taken_as_empty() -> None:
    empty = canvas()

    assert not empty.draw_structures(Drawing(()), {"a": 1}).array.any()
    assert empty.assumed == ["no shape on it: taken as an image without structures"]


def test_a_document_of_another_image_is_refused() -> None:
    with pytest.raises(DataError, match="12 x 10 pixels, found 10 x 12"):
        canvas(size=(10, 12)).draw_structures(Drawing((), SIZE), {"a": 1})
