"""Plots: curves, scores and pairs as PNG, the same bytes for the same content."""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

# Okabe and Ito 2008: distinguishable with any colour vision.
COLOURS = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#F0E442",
)
MARKS = ("o", "s", "^", "D", "v", "P")  # by which models of one colour differ
LETTER = 0.085  # inches
LEGEND_LINES = 14
PANELS_ACROSS = 4  # structures side by side
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
    """The curves of one training, a point for each epoch.

    Attributes:
        model: Name of the model.
        fold: Number of the fold.
        epoch: Number of the epoch.
        training_loss: Mean training loss of the epoch.
        validation_dice: Mean Dice of whole held-out cases; NaN between validations.
        others: Other validation figures that have a panel, by name: ``Dice, liver`` of
            each of several structures, or the precision of instances.
    """

    model: str
    fold: int
    epoch: Float[np.ndarray, " epoch"]
    training_loss: Float[np.ndarray, " epoch"]
    validation_dice: Float[np.ndarray, " epoch"]
    others: dict[str, Float[np.ndarray, " epoch"]]


def plot_curves(curves: Sequence[Curve]) -> bytes:
    """Plot training loss and validation Dice over the epochs, one colour a model.

    Each of the other figures has a panel of its own.
    """
    others = list(dict.fromkeys(name for curve in curves for name in curve.others))
    rows = 1 + math.ceil(len(others) / 2)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10, 3.6 * rows), layout="constrained")
        panels = figure.subplots(rows, 2, squeeze=False).ravel()
        draw_loss(panels[0], curves)
        draw_validation(panels[1], curves)
        for axes, figure_name in zip(panels[2:], others, strict=False):
            draw_validation(axes, curves, figure_name)
            if len(curves) > len(COLOURS):  # one legend is enough
                axes.get_legend().remove()
        for axes in panels[2 + len(others) :]:
            axes.set_visible(False)
        return to_png(figure)


def draw_loss(axes: Axes, curves: Sequence[Curve]) -> None:
    """Draw the training loss over the epochs; later folds are dashed."""
    for curve, colour, line, mark, name in _styled(curves):
        # One epoch is no line, and a line without marks is of the first models.
        plain = mark == MARKS[0] and len(curve.epoch) > 1
        axes.plot(
            curve.epoch,
            curve.training_loss,
            line,
            marker=None if plain else mark,
            markersize=4,
            color=colour,
            label=name,
        )
    axes.set(title="Training loss", xlabel="epoch", ylabel="loss (each model's own)")
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def draw_validation(
    axes: Axes, curves: Sequence[Curve], other: str | None = None
) -> None:
    """Draw the mean validation Dice, or another figure, over the epochs."""
    for curve, colour, line, mark, name in _styled(curves):
        figures = curve.validation_dice
        if other is not None:
            figures = curve.others.get(other, np.full(figures.shape, np.nan))
        known = ~np.isnan(figures)
        axes.plot(
            curve.epoch[known],
            figures[known],
            line,
            marker=mark,
            markersize=4,
            color=colour,
            label=name,
        )
    title = f"Validation {other or 'Dice'}"
    what = "mean Dice" if other is None else other.split(",")[0]
    axes.set(title=title, xlabel="epoch", ylabel=what, ylim=(0, 1))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    _add_legend(axes, len(curves))


def _add_legend(axes: Axes, count: int) -> None:
    """Name the curves inside the panel, or beside it where they would cover it."""
    if count <= len(COLOURS):
        axes.legend(loc="lower right", fontsize=9)
        return
    axes.legend(
        loc="center left",
        bbox_to_anchor=(1, 0.5),
        fontsize=8,
        ncols=math.ceil(count / LEGEND_LINES),
    )


def _styled(curves: Sequence[Curve]) -> list[tuple[Curve, str, str, str, str]]:
    """Each curve with its colour, line style, mark and name."""
    models = list(dict.fromkeys(curve.model for curve in curves))
    folds = sorted({curve.fold for curve in curves})
    lines = ("-", "--", ":", "-.")
    return [
        (
            curve,
            COLOURS[models.index(curve.model) % len(COLOURS)],
            lines[folds.index(curve.fold) % len(lines)],
            MARKS[models.index(curve.model) // len(COLOURS) % len(MARKS)],
            curve.model if len(folds) == 1 else f"{curve.model}, fold {curve.fold}",
        )
        for curve in curves
    ]


def plot_cases(scores: dict[str, dict[str, Float[np.ndarray, " case"]]]) -> bytes:
    """Plot the Dice of every test case: one panel a structure, one column a model.

    A panel is as wide as its models need; four stand side by side.

    Args:
        scores: Structure to model to the Dice of each case; NaN where the structure is
            absent from reference and prediction.
    """
    with mpl.rc_context(STYLE):
        names = list(next(iter(scores.values())))
        across = min(len(scores), PANELS_ACROSS)
        down = math.ceil(len(scores) / across)
        wide = min(max(2.4, 0.8 * len(names)), 10.0 / across)
        high = 3.8 + (_width(names) if _overlap(names, wide) else 0)
        size = (0.8 + wide * across, high * down)
        figure = Figure(figsize=size, layout="constrained")
        grid = figure.subplots(down, across, sharey=True, squeeze=False)
        panels = grid.ravel()
        for axes, (structure, of_models) in zip(panels, scores.items(), strict=False):
            draw_cases(axes, structure, of_models)
        for axes in panels[len(scores) :]:
            axes.set_visible(False)
        for axes in grid[:, 0]:
            axes.set_ylabel("Dice of a test case")
        return to_png(figure)


def draw_cases(
    axes: Axes, structure: str, of_models: dict[str, Float[np.ndarray, " case"]]
) -> None:
    """Draw a dot for each case and model; lines join a case, a bar is the median."""
    columns = np.arange(len(of_models))
    table = np.array(list(of_models.values()))
    count = table.shape[1]
    inches = float(axes.get_window_extent().width / axes.figure.dpi)
    crowded = _overlap(list(of_models), inches)
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
                (column + (-0.3 if crowded else 0.32), middle),
                va="bottom" if crowded else "center",
                fontsize=9,
            )
    axes.set_xticks(columns, list(of_models))
    if crowded:
        axes.tick_params(axis="x", rotation=90)
    axes.set_xlim(-0.5, len(of_models) - 0.3)
    axes.set_ylim(-0.02, 1.02)
    axes.set_title(structure)
    axes.grid(axis="x", visible=False)


def _width(names: Sequence[str]) -> float:
    """Inches of the longest name."""
    return LETTER * max(map(len, names))


def _overlap(names: Sequence[str], inches: float) -> bool:
    """Whether names side by side below a panel would run into each other."""
    return _width(names) > inches / len(names)


def plot_pairs(
    scores: dict[str, tuple[str, float, float]], names: tuple[str, str]
) -> bytes:
    """Plot the Dice of two segmenters against each other.

    A dot below the diagonal is a case and structure with a lower Dice of the second.

    Args:
        scores: Label of a case and structure to the structure, the Dice of the first
            segmenter (x axis) and the Dice of the second (y axis).
        names: Names of the first and the second segmenter.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.6, 5.6), layout="constrained")
        draw_pairs(figure.subplots(), scores, names)
        return to_png(figure)


def draw_pairs(
    axes: Axes,
    scores: dict[str, tuple[str, float, float]],
    names: tuple[str, str],
    *,
    labelled: int = 3,
    loss: float = 0.05,
) -> None:
    """Draw a dot for each case and structure, and label the largest visible losses."""
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
            xytext=(0.98, 0.03 + 0.05 * place),  # a corner with few dots
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


def to_png(figure: Figure) -> bytes:
    """Encode a figure as PNG."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=110, metadata={"Software": None})
    return file.getvalue()
