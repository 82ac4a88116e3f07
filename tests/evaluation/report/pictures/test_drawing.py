"""A plane is drawn with what it is given, and with nothing else."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from segpipe.evaluation.report.pictures.contours import BORDER, OVER, colour_of
from segpipe.evaluation.report.pictures.drawing import draw_view
from tests.support.plots import make_exhibit, make_view, make_volume

SQUARE = np.zeros((8, 8), dtype=np.int32)
SQUARE[2:6, 2:6] = 1


def drawn(prediction: np.ndarray) -> list[Axes]:
    """Image, reference and prediction of a square."""
    view = make_view(SQUARE, prediction)
    row = Figure().subplots(1, 3)
    draw_view(list(row), view, make_exhibit(view))
    return list(row)


def lines(axes: Axes) -> list[tuple[str, bool, int]]:
    """Colour of each collection, whether it is dashed, and its number of lines."""
    return [
        (
            to_hex(one.get_colors()[0]).upper() if len(one.get_colors()) else "",
            one.get_linestyles()[0][1] is not None if len(one.get_paths()) else False,
            len(one.get_paths()),
        )
        for one in axes.collections
    ]


def test_prediction_and_reference_are_two_contours_over_dark_borders() -> None:
    image, reference, predicted = drawn(SQUARE)

    assert lines(image) == []
    assert lines(reference) == [(BORDER, False, 1), (colour_of(1), True, 1)]
    assert lines(predicted) == [
        (BORDER, False, 1),
        (colour_of(1), False, 1),
        (BORDER, False, 1),
        (OVER, True, 1),
    ]
    widths = [one.get_linewidths()[0] for one in predicted.collections]
    assert widths[1] > widths[3] + 1
    assert widths[0] > widths[1]
    assert widths[2] > widths[3]


def test_a_prediction_that_found_nothing_says_so() -> None:
    """And has no contour but the reference's."""
    *_, right = drawn(SQUARE)
    *_, nothing = drawn(np.zeros_like(SQUARE))

    assert "nothing found" not in [text.get_text() for text in right.texts]
    assert "nothing found" in [text.get_text() for text in nothing.texts]
    assert [count for *_, count in lines(nothing)] == [0, 0, 1, 1]


def test_an_empty_slice_of_a_prediction_that_found_something_elsewhere() -> None:
    view = make_view(SQUARE, np.zeros_like(SQUARE))
    exhibit = make_exhibit(view)
    exhibit.structures[0].sizes["a"] = 3.0
    row = Figure().subplots(1, 3)
    draw_view(list(row), view, exhibit)

    assert "nothing found in this slice" in [text.get_text() for text in row[2].texts]


def test_letters_and_scale_stand_at_the_edges() -> None:
    image, *_ = drawn(SQUARE)

    places = {text.get_text(): text.get_position() for text in image.texts}
    assert places["R"][0] < 0.1 < 0.9 < places["L"][0]
    assert places["P"][1] < 0.1 < 0.9 < places["A"][1]
    (bar,) = image.lines
    left, right = bar.get_xdata()
    assert f"{right - left:g} mm" in places


def test_many_structures_are_told_apart_by_numbers() -> None:
    exhibit = make_volume(40)
    row = Figure().subplots(1, 3)
    draw_view(list(row), exhibit.views[0], exhibit)

    for axes in row[1:]:
        assert {str(n) for n in range(1, 41)} <= {t.get_text() for t in axes.texts}
