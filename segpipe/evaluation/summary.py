"""Summary: scores, curves and a case of all models in one picture."""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from segpipe.evaluation.overlays import View, draw_view
from segpipe.evaluation.plots import STYLE, Curve, draw_cases, draw_dice, to_png


def plot_summary(
    title: str,
    *,
    curves: Sequence[Curve],
    scores: dict[str, dict[str, Float[np.ndarray, " case"]]],
    views: Sequence[View],
) -> bytes:
    """Plot the whole report in one picture.

    Args:
        title: Title in one line.
        curves: Curves of all trainings.
        scores: Structure to model to the Dice of each test case; the first three
            structures are shown.
        views: Views of a case, of which the first is shown; may be empty.
    """
    shown = dict(list(scores.items())[:3])
    with mpl.rc_context(STYLE):
        heights = [4.4]
        for view in views[:1]:
            height, width = view.reference.shape
            columns = 2 + len(view.predictions)
            heights.append(0.4 + 12 / columns * height * view.aspect / width)
        figure = Figure(figsize=(12, sum(heights)), layout="constrained")
        halves = figure.subfigures(
            len(heights), 1, squeeze=False, height_ratios=heights
        )[:, 0]
        top = halves[0].subplots(1, len(shown) + 1, squeeze=False)[0]
        for axes, (structure, of_models) in zip(top, shown.items(), strict=False):
            draw_cases(axes, structure, of_models)
        top[0].set_ylabel("Dice of a test case")
        draw_dice(top[-1], curves)
        if views:
            columns = 2 + len(views[0].predictions)
            row = halves[1].subplots(1, columns, squeeze=False)[0]
            draw_view(list(row), views[0])
            names = ["image", "reference", *views[0].predictions]
            for axes, name in zip(row, names, strict=True):
                axes.set_title(name, fontsize=10)
        figure.suptitle(title, x=0.01, ha="left", fontweight="bold", fontsize=13)
        return to_png(figure)
