"""Overlays show what they are given, in the same bytes each time."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from segpipe.evaluation.report.pictures.contours import BORDER, OVER, colour_of
from segpipe.evaluation.report.pictures.overlays import (
    draw_view,
    plot_overlay,
    plot_summary,
)
from segpipe.evaluation.report.pictures.planes import Exhibit, View
from tests.support.plots import (
    CURVE,
    SCORES,
    make_exhibit,
    make_photo,
    make_view,
    make_volume,
    pixels,
)

SQUARE = np.zeros((8, 8), dtype=np.int32)
SQUARE[2:6, 2:6] = 1
CASE = make_exhibit(make_view(np.eye(9, dtype=int), np.eye(9, dtype=int)))


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


@pytest.mark.parametrize(
    "exhibit",
    [CASE, make_volume(40), make_volume(found=False), make_photo(instances=True)],
    ids=["one", "many", "nothing", "instances"],
)
def test_the_same_content_gives_the_same_bytes(exhibit: Exhibit) -> None:
    first, second = (plot_overlay("a case", exhibit) for _ in range(2))

    assert first == second
    assert pixels(first).std() > 10


def test_a_model_has_a_column_of_its_own() -> None:
    one = CASE.views[0]
    both = View(**{**vars(one), "predictions": dict.fromkeys("ab", one.reference)})

    narrow, wide = (
        pixels(plot_overlay("a case", make_exhibit(v))) for v in (one, both)
    )

    assert wide.shape[1] == pytest.approx(narrow.shape[1] * 4 / 3, rel=0.02)


def test_warnings_are_written_on_the_picture() -> None:
    plain, warned = (
        pixels(plot_overlay("a case", CASE, warnings=words))
        for words in ([], ["spacing 9 mm, outside of 1 to 2 mm"])
    )

    assert warned.shape[0] > plain.shape[0]


@pytest.mark.parametrize("exhibit", [None, CASE])
def test_the_same_summary_has_the_same_bytes(exhibit: Exhibit | None) -> None:
    first, second = (
        plot_summary("all", curves=[CURVE], scores=SCORES, exhibit=exhibit)
        for _ in range(2)
    )

    assert first == second
    assert pixels(first).std() > 10


def test_a_case_stands_below_the_plots_of_the_summary() -> None:
    without, whole = (
        plot_summary("all", curves=[CURVE], scores=SCORES, exhibit=exhibit)
        for exhibit in (None, CASE)
    )

    assert pixels(whole).shape[0] > pixels(without).shape[0]
    assert pixels(whole).shape[1] == pixels(without).shape[1]


def test_many_models_stand_in_rows_of_the_summary() -> None:
    """Sixteen columns beside each other collapsed, of which matplotlib warned."""
    view = CASE.views[0]
    found = {f"network {n}": view.reference for n in range(14)}
    exhibit = make_exhibit(replace(view, predictions=found))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        png, of_one = (
            plot_summary("all", curves=[CURVE], scores=SCORES, exhibit=one)
            for one in (exhibit, CASE)
        )

    assert pixels(png).shape[1] == pixels(of_one).shape[1]
    assert pixels(png).shape[0] > pixels(of_one).shape[0] + 200
