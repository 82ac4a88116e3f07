"""Overlays show what they are given, in the same bytes each time."""

import warnings
from dataclasses import replace

import numpy as np
import pytest

from segpipe.evaluation.report.pictures.overlays import (
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

CASE = make_exhibit(make_view(np.eye(9, dtype=int), np.eye(9, dtype=int)))


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
