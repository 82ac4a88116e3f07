"""The summary shows curves, scores and a case, in the same bytes each time."""

import numpy as np
import pytest

from segpipe.evaluation.overlays import View
from segpipe.evaluation.summary import plot_summary
from tests.support.plots import CURVE, SCORES, make_view, pixels

VIEW = make_view(np.eye(9, dtype=int), np.eye(9, dtype=int))


@pytest.mark.parametrize("views", [[], [VIEW]])
def test_the_same_content_gives_the_same_bytes(views: list[View]) -> None:
    first, second = (
        plot_summary("all", curves=[CURVE], scores=SCORES, views=views)
        for _ in range(2)
    )

    assert first == second
    assert pixels(first).std() > 10


def test_a_case_stands_below_the_plots() -> None:
    without, whole = (
        plot_summary("all", curves=[CURVE], scores=SCORES, views=views)
        for views in ([], [VIEW])
    )

    assert pixels(whole).shape[0] > pixels(without).shape[0]
    assert pixels(whole).shape[1] == pixels(without).shape[1]
