"""Overlays show what they are given, in the same bytes each time."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from segpipe.evaluation.report.pictures.overlays import (
    View,
    draw_view,
    plot_overlay,
    plot_summary,
)
from tests.support.plots import CURVE, SCORES, make_view, pixels

VIEW = make_view(np.eye(9, dtype=int), np.eye(9, dtype=int))


def test_a_right_prediction_is_coloured_and_outlined_as_the_reference() -> None:
    reference = np.zeros((8, 8), dtype=np.int32)
    reference[2:6, 2:6] = 1
    row = Figure().subplots(1, 3)
    draw_view(list(row), make_view(reference, reference))

    drawn, predicted = (axes.images[1].get_array() for axes in row[1:])
    outline = row[2].images[2].get_array()
    assert (drawn[..., 3] > 0).tolist() == (reference > 0).tolist()
    assert np.array_equal(drawn, predicted)
    inside = outline[..., 3].reshape(8, 30, 8, 30).any(axis=(1, 3))
    assert not inside[reference == 0].any()
    assert inside[2, 2]
    assert not inside[3, 3]


def test_the_same_content_gives_the_same_bytes() -> None:
    views = [make_view(np.eye(9, dtype=int), np.eye(9, dtype=int))]

    first, second = (plot_overlay("a case", views, {"liver": 1}) for _ in range(2))

    assert first == second
    assert pixels(first).std() > 10


def test_a_model_has_a_column_of_its_own() -> None:
    one = make_view(np.eye(9, dtype=int), np.eye(9, dtype=int))
    two = View(
        one.name, one.image, one.reference, dict.fromkeys("ab", one.reference), 2.0
    )

    narrow, wide = (pixels(plot_overlay("a case", [v], {})) for v in (one, two))

    assert wide.shape[1] == pytest.approx(narrow.shape[1] * 4 / 3, rel=0.01)


@pytest.mark.parametrize("views", [[], [VIEW]])
def test_the_same_summary_has_the_same_bytes(views: list[View]) -> None:
    first, second = (
        plot_summary("all", curves=[CURVE], scores=SCORES, views=views)
        for _ in range(2)
    )

    assert first == second
    assert pixels(first).std() > 10


def test_a_case_stands_below_the_plots_of_the_summary() -> None:
    without, whole = (
        plot_summary("all", curves=[CURVE], scores=SCORES, views=views)
        for views in ([], [VIEW])
    )

    assert pixels(whole).shape[0] > pixels(without).shape[0]
    assert pixels(whole).shape[1] == pixels(without).shape[1]
