"""Overlays: reference and predictions over planes of an image, alone or with plots."""

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from jaxtyping import Float, Integer
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from segpipe.evaluation.report.plots import (
    COLOURS,
    STYLE,
    Curve,
    draw_cases,
    draw_dice,
    to_png,
)


@dataclass(frozen=True, eq=False)
class View:
    """One plane of a case: rows run downwards, columns to the right.

    Attributes:
        name: Name of the plane, such as axial.
        image: Grey values, or red, green and blue, from 0 to 1.
        reference: Number of the region of each pixel; 0 is no region, each other number
            has a colour.
        predictions: The same for the prediction of each model, by its name.
        aspect: Height of a pixel over its width.
    """

    name: str
    image: Float[np.ndarray, "row column *colour"]
    reference: Integer[np.ndarray, "row column"]
    predictions: dict[str, Integer[np.ndarray, "row column"]]
    aspect: float


def plot_overlay(
    title: str,
    views: Sequence[View],
    legend: dict[str, int],
    *,
    drawn: str = "reference",
) -> bytes:
    """Plot the views of a case: image, reference and the prediction of each model.

    Args:
        title: Title that names the case.
        views: Planes, one row each.
        legend: Structure to the number of its region; empty if numbers are instances.
        drawn: Title of the column of the reference.
    """
    models = list(views[0].predictions)
    with mpl.rc_context(STYLE):
        heights = [
            view.image.shape[0] * view.aspect / view.image.shape[1] for view in views
        ]
        figure = Figure(
            figsize=(2.6 * (2 + len(models)), 2.6 * sum(heights) + 0.9),
            layout="constrained",
        )
        rows = figure.subplots(
            len(views), 2 + len(models), squeeze=False, height_ratios=heights
        )
        for row, view in zip(rows, views, strict=True):
            draw_view(list(row), view)
        for axes, name in zip(rows[0], ["image", drawn, *models], strict=True):
            axes.set_title(name, fontsize=10)
        figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
        if legend:
            figure.legend(
                handles=[
                    Patch(color=COLOURS[number % len(COLOURS)], label=name)
                    for name, number in legend.items()
                ],
                loc="outside lower left",
                ncols=len(legend),
            )
        return to_png(figure)


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


def draw_view(row: Sequence[Axes], view: View) -> None:
    """Draw a view: image, reference, and predictions with the reference's outline."""
    regions = [None, view.reference, *view.predictions.values()]
    for place, (axes, region) in enumerate(zip(row, regions, strict=True)):
        axes.imshow(view.image, cmap="gray", vmin=0, vmax=1, aspect=view.aspect)
        if region is not None:
            axes.imshow(_tinted(region), aspect=view.aspect, interpolation="nearest")
        if place > 1:
            edges = _outline(view.reference)
            height, width = view.reference.shape
            axes.imshow(
                edges,
                aspect=view.aspect,
                interpolation="antialiased",
                extent=(-0.5, width - 0.5, height - 0.5, -0.5),
            )
        axes.set(xticks=[], yticks=[])
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
    row[0].set_ylabel(view.name)


def _tinted(region: Integer[np.ndarray, "row column"]) -> np.ndarray:
    """Transparent colour of each region, as red, green, blue and opacity."""
    table = np.array([(*to_rgb(colour), 0.55) for colour in COLOURS])
    tint = table[region % len(COLOURS)]
    tint[region == 0] = 0
    return np.asarray(tint)


def _outline(region: Integer[np.ndarray, "row column"]) -> np.ndarray:
    """White inner border of each region, on a finer grid so that the line is thin."""
    finer = max(1, 240 // max(region.shape))
    region = region.repeat(finer, axis=0).repeat(finer, axis=1)
    edge = np.zeros(region.shape, dtype=bool)
    for axis in range(2):
        for step in (1, -1):
            other = np.roll(region, step, axis=axis)
            border = [slice(None), slice(None)]
            border[axis] = slice(0, 1) if step == 1 else slice(-1, None)
            other[tuple(border)] = region[tuple(border)]
            edge |= (region != other) & (region != 0)
    return np.asarray(np.where(edge[..., None], (1.0, 1.0, 1.0, 0.95), 0.0))
