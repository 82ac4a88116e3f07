"""Plots: figures as PNG, the same bytes for the same content."""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from jaxtyping import Float, Integer
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

# Okabe and Ito 2008: told apart by people with any colour vision.
COLOURS = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#F0E442",
)
INK, FAINT = "#1b2733", "#9aa5b1"
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6eaee",
    "axes.axisbelow": True,
    "xtick.color": INK,
    "ytick.color": INK,
    "text.color": INK,
    "legend.frameon": False,
}


@dataclass(frozen=True, eq=False)
class Curve:
    """How one training went.

    Attributes:
        model: Name of the model.
        fold: Number of the fold.
        epoch: Of each point.
        training_loss: Mean of the epoch.
        validation_dice: Of whole held-out cases; NaN between validations.
        of_structures: The same by structure, where there are several.
    """

    model: str
    fold: int
    epoch: Float[np.ndarray, " epoch"]
    training_loss: Float[np.ndarray, " epoch"]
    validation_dice: Float[np.ndarray, " epoch"]
    of_structures: dict[str, Float[np.ndarray, " epoch"]]


@dataclass(frozen=True, eq=False)
class View:
    """One plane of a case, as it is shown: rows downwards, columns to the right.

    Attributes:
        name: Such as axial.
        image: Grey, or red, green, blue, from 0 to 1.
        reference: Regions as drawn: 0 is nothing, each other number one colour.
        predictions: By model: regions likewise.
        aspect: Height of a pixel over its width.
    """

    name: str
    image: Float[np.ndarray, "row column *colour"]
    reference: Integer[np.ndarray, "row column"]
    predictions: dict[str, Integer[np.ndarray, "row column"]]
    aspect: float


def plot_curves(curves: Sequence[Curve]) -> bytes:
    """Training loss and validation Dice over the epochs, a colour a model.

    Where there are several structures, each has a panel of its own.
    """
    structures = list(dict.fromkeys(n for curve in curves for n in curve.of_structures))
    rows = 1 + math.ceil(len(structures) / 2)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10, 3.6 * rows), layout="constrained")
        panels = figure.subplots(rows, 2, squeeze=False).ravel()
        draw_loss(panels[0], curves)
        draw_dice(panels[1], curves)
        for axes, structure in zip(panels[2:], structures, strict=False):
            draw_dice(axes, curves, structure=structure)
        for axes in panels[2 + len(structures) :]:
            axes.set_visible(False)
        return _png(figure)


def draw_loss(axes: Axes, curves: Sequence[Curve]) -> None:
    """Training loss over the epochs; later folds are dashed."""
    for curve, colour, line, name in _named(curves):
        axes.plot(curve.epoch, curve.training_loss, line, color=colour, label=name)
    axes.set(title="Training loss", xlabel="epoch", ylabel="loss (each model's own)")
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def draw_dice(
    axes: Axes, curves: Sequence[Curve], *, structure: str | None = None
) -> None:
    """Validation Dice over the epochs, of one structure or the mean, with a legend."""
    for curve, colour, line, name in _named(curves):
        dice = curve.validation_dice
        if structure is not None:
            dice = curve.of_structures.get(structure, np.full(dice.shape, np.nan))
        known = ~np.isnan(dice)
        axes.plot(
            curve.epoch[known],
            dice[known],
            line,
            marker="o",
            markersize=4,
            color=colour,
            label=name,
        )
    what = "mean Dice" if structure is None else "Dice"
    title = "Validation Dice" + ("" if structure is None else f", {structure}")
    axes.set(title=title, xlabel="epoch", ylabel=what, ylim=(0, 1))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(loc="lower right", fontsize=9)


def _named(
    curves: Sequence[Curve],
) -> list[tuple[Curve, str, str, str]]:
    models = list(dict.fromkeys(curve.model for curve in curves))
    folds = sorted({curve.fold for curve in curves})
    lines = ("-", "--", ":", "-.")
    return [
        (
            curve,
            COLOURS[models.index(curve.model) % len(COLOURS)],
            lines[folds.index(curve.fold) % len(lines)],
            curve.model if len(folds) == 1 else f"{curve.model}, fold {curve.fold}",
        )
        for curve in curves
    ]


def plot_cases(scores: dict[str, dict[str, Float[np.ndarray, " case"]]]) -> bytes:
    """Dice of every test case: a panel a structure, a column a model.

    Args:
        scores: Structure to model to the Dice of each case; NaN where both are empty.
    """
    with mpl.rc_context(STYLE):
        width = max(5.0, min(14.0, 2 + 2.6 * len(scores)))
        figure = Figure(figsize=(width, 4), layout="constrained")
        panels = figure.subplots(1, len(scores), sharey=True, squeeze=False)[0]
        for axes, (structure, of_models) in zip(panels, scores.items(), strict=True):
            draw_cases(axes, structure, of_models)
        panels[0].set_ylabel("Dice of a test case")
        return _png(figure)


def draw_cases(
    axes: Axes, structure: str, of_models: dict[str, Float[np.ndarray, " case"]]
) -> None:
    """One dot a case and model, grey lines join a case, a bar marks the median."""
    columns = np.arange(len(of_models))
    table = np.array(list(of_models.values()))
    count = table.shape[1]
    spread = np.linspace(-0.16, 0.16, count) if count > 1 else np.zeros(1)
    for case in range(count):
        axes.plot(
            columns + spread[case], table[:, case], color="#d5dbe1", lw=0.8, zorder=1
        )
    for column, values in enumerate(table):
        colour = COLOURS[column % len(COLOURS)]
        axes.scatter(column + spread, values, s=22, color=colour, alpha=0.85, zorder=2)
        if not np.isnan(values).all():
            middle = float(np.nanmedian(values))
            axes.hlines(middle, column - 0.3, column + 0.3, color=INK, lw=2, zorder=3)
            axes.annotate(
                f"{middle:.2f}",
                (column + 0.32, middle),
                va="center",
                fontsize=9,
            )
    axes.set_xticks(columns, list(of_models))
    axes.set_xlim(-0.5, len(of_models) - 0.3)
    axes.set_ylim(-0.02, 1.02)
    axes.set_title(structure)
    axes.grid(axis="x", visible=False)


def plot_pairs(
    scores: dict[str, tuple[str, float, float]], names: tuple[str, str]
) -> bytes:
    """Two segmenters against each other: a dot below the line is worse than before.

    Args:
        scores: Case and structure, as people know them, to the structure, the Dice of
            the one across and the Dice of the one upwards.
        names: Of the one across and the one upwards.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.6, 5.6), layout="constrained")
        draw_pairs(figure.subplots(), scores, names)
        return _png(figure)


def draw_pairs(
    axes: Axes,
    scores: dict[str, tuple[str, float, float]],
    names: tuple[str, str],
    *,
    labelled: int = 3,
    loss: float = 0.05,
) -> None:
    """One dot a case and structure; the largest losses, if they can be seen, named."""
    axes.plot([0, 1], [0, 1], color=FAINT, lw=1, zorder=1)
    for n, structure in enumerate(dict.fromkeys(of for of, _, _ in scores.values())):
        points = [(x, y) for of, x, y in scores.values() if of == structure]
        x, y = np.array(points).T
        colour = COLOURS[n % len(COLOURS)]
        axes.scatter(x, y, s=26, color=colour, alpha=0.85, label=structure, zorder=2)
    losses = sorted(scores.items(), key=lambda item: item[1][2] - item[1][1])
    seen = [one for one in losses[:labelled] if one[1][1] - one[1][2] > loss]
    lowest_first = sorted(seen, key=lambda item: item[1][2])
    for place, (name, (_, before, after)) in enumerate(lowest_first):
        axes.annotate(
            name,
            (before, after),
            xytext=(0.98, 0.03 + 0.05 * place),  # the corner where few dots lie
            textcoords="axes fraction",
            ha="right",
            fontsize=8,
            arrowprops={
                "arrowstyle": "-",
                "color": FAINT,
                "lw": 0.6,
                "relpos": (0, 0.5),
            },
        )
    axes.set(
        title="Dice of every case and structure",
        xlabel=names[0],
        ylabel=names[1],
        xlim=(-0.02, 1.02),
        ylim=(-0.02, 1.02),
        aspect="equal",
    )
    axes.legend(loc="upper left", fontsize=9)


def plot_overlay(
    title: str,
    views: Sequence[View],
    legend: dict[str, int],
    *,
    drawn: str = "reference",
) -> bytes:
    """A case in all its views: image, reference, and what each model made of it.

    Args:
        title: Which case, and why it is shown.
        views: Rows of the picture.
        legend: Structure to the number of its regions; empty if numbers are instances.
        drawn: What the views' reference is.
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
        return _png(figure)


def draw_view(row: Sequence[Axes], view: View) -> None:
    """One view: the image, the reference in colour, each prediction with its outline.

    The white outline on a prediction is the reference's.
    """
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
    """A transparent colour a number."""
    table = np.array([(*to_rgb(colour), 0.55) for colour in COLOURS])
    tint = table[region % len(COLOURS)]
    tint[region == 0] = 0
    return np.asarray(tint)


def _outline(region: Integer[np.ndarray, "row column"]) -> np.ndarray:
    """White where a region meets another number, on the region's own side."""
    finer = max(1, 240 // max(region.shape))  # so that the line is thin
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


def plot_summary(
    title: str,
    *,
    curves: Sequence[Curve],
    scores: dict[str, dict[str, Float[np.ndarray, " case"]]],
    views: Sequence[View],
) -> bytes:
    """The whole report in one picture.

    Args:
        title: One line.
        curves: As for plot_curves.
        scores: As for plot_cases; the first three structures are shown.
        views: One row of a case, or none.
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
        return _png(figure)


def _png(figure: Figure) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=110, metadata={"Software": None})
    return file.getvalue()
