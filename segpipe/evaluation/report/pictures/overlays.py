"""Overlays: contours of reference and predictions on an image, as one picture."""

import math
import textwrap
from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from jaxtyping import Float
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from segpipe.evaluation.report.pictures.contours import (
    BORDER,
    DASHES,
    MARGIN,
    OVER,
    THIN,
    WIDE,
    colour_of,
)
from segpipe.evaluation.report.pictures.drawing import draw_view
from segpipe.evaluation.report.pictures.planes import (
    REFERENCE,
    Exhibit,
    Structure,
    View,
    in_words,
)
from segpipe.evaluation.report.plots import (
    STYLE,
    Curve,
    draw_cases,
    draw_validation,
    to_png,
)

# Inches: width and greatest height of a plane, margin, a line of text.
COLUMN, HIGHEST, GAP, LINE = 2.9, 4.2, 0.12, 0.19
LETTERS_AN_INCH = 12.5
COLUMNS_ACROSS = 6  # of a case in the picture of the whole report
SMALL = 8.5  # points


def plot_overlay(
    title: str, exhibit: Exhibit, *, warnings: Sequence[str] = ()
) -> bytes:
    """Plot a case: image, reference and the prediction of each model.

    Args:
        title: Title that names the case.
        exhibit: The case; the chosen slice of each of its planes is a row.
        warnings: Sentences that are written over the notes.
    """
    columns = exhibit.views[0].columns
    width = max(len(columns), 2) * (COLUMN + GAP) + GAP  # captions are longer than one
    heights = [_height(view) for view in exhibit.views]
    lines = _wrapped([f"Warning: {one}" for one in warnings], width)
    notes = _wrapped(exhibit.notes, width)
    legend = _legend(exhibit)
    longest = max((len(str(one.get_label())) for one in legend), default=1)
    across = max(1, int(width * LETTERS_AN_INCH / (longest + 8)))
    below = LINE * (len(lines) + len(notes) + 1.05 * -(-len(legend) // across))
    above = LINE * (1.2 * len(title.split("\n")) + 1.6)
    height = above + sum(heights) + 1.5 * LINE * len(heights) + below + 1.5 * LINE

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, height))
        figure.text(
            GAP / width, 1 - GAP / height, title, va="top", fontsize=11, weight="bold"
        )
        y = height - above
        for view, high in zip(exhibit.views, heights, strict=True):
            _write(figure, GAP, y, _caption(view), size=SMALL)
            y -= high + 0.4 * LINE
            row = [
                figure.add_axes(
                    (
                        (GAP + place * (COLUMN + GAP)) / width,
                        y / height,
                        COLUMN / width,
                        high / height,
                    )
                )
                for place in range(len(columns))
            ]
            draw_view(row, view, exhibit)
            y -= 1.1 * LINE
        for place, name in enumerate(columns):
            words = _under(name, exhibit)
            _write(figure, GAP + place * (COLUMN + GAP), y, words, bold=True)
        y -= 1.2 * LINE
        for one in lines:
            _write(figure, GAP, y, one, bold=True)
            y -= LINE
        for one in notes:
            _write(figure, GAP, y, one, size=SMALL)
            y -= LINE
        if legend:
            figure.legend(
                handles=legend,
                loc="lower left",
                bbox_to_anchor=(0, 0),
                ncols=across,
                fontsize=SMALL,
                handlelength=1.6,
            )
        return to_png(figure)


def _wrapped(sentences: Sequence[str], width: float) -> list[str]:
    letters = int(width * LETTERS_AN_INCH)
    return [line for one in sentences for line in textwrap.wrap(one, letters)]


def _write(
    figure: Figure,
    x: float,
    y: float,
    text: str,
    *,
    size: float = 9,
    bold: bool = False,
) -> None:
    """Write a line of text at a place in inches from the lower left corner."""
    width, height = figure.get_size_inches()
    figure.text(
        x / width, y / height, text, fontsize=size, weight="bold" if bold else "normal"
    )


def _height(view: View) -> float:
    """Inches of a plane that is as wide as its column, if that is not too high."""
    rows, columns = view.image.shape[1:3]
    return float(min(HIGHEST, COLUMN * rows * view.aspect / columns))


def _caption(view: View) -> str:
    low, high = view.window
    window = f"window {in_words(low)} to {in_words(high)}"
    return ", ".join(filter(None, [view.name, view.words(view.chosen), window]))


def _under(column: str, exhibit: Exhibit) -> str:
    """The name of a column, and what its model found."""
    if column in ("image", REFERENCE):
        return column
    return f"{column}: {exhibit.found(column)}"


def _legend(exhibit: Exhibit) -> list[Artist]:
    """A line for each structure with its sizes, and what dashes mean."""
    handles: list[Artist] = [
        Line2D(
            [],
            [],
            color=BORDER if one.number is None else colour_of(one.number),
            lw=WIDE,
            label=_sizes(one, exhibit),
        )
        for one in exhibit.structures
    ]
    if exhibit.views[0].reference is not None:
        line = Line2D([], [], color=OVER, lw=THIN, ls=(0, DASHES), label=REFERENCE)
        line.set_path_effects([withStroke(linewidth=THIN + MARGIN, foreground=BORDER)])
        handles.append(line)
    return handles


def _sizes(one: Structure, exhibit: Exhibit) -> str:
    name = f"{one.number} {one.name}" if exhibit.numbered else one.name
    sizes = [
        (f"{column} " if len(one.sizes) > 1 else "")
        + in_words(size)
        + (f" (n = {one.instances[column]})" if one.instances else "")
        for column, size in one.sizes.items()
    ]
    return f"{name}: {', '.join(sizes)} {exhibit.unit}"


def plot_summary(
    title: str,
    *,
    curves: Sequence[Curve],
    scores: dict[str, dict[str, Float[np.ndarray, " case"]]],
    exhibit: Exhibit | None,
) -> bytes:
    """Plot the whole report in one picture.

    Args:
        title: Title in one line.
        curves: Curves of all trainings.
        scores: Structure to model to the Dice of each test case; the first three
            structures are shown.
        exhibit: A case, of which the first plane is shown; None for no case.
    """
    shown = dict(list(scores.items())[:3])
    with mpl.rc_context(STYLE):
        heights = [4.4]
        if exhibit is not None:
            view = exhibit.views[0]
            rows, columns = view.image.shape[1:3]
            across = min(len(view.columns), COLUMNS_ACROSS)
            down = math.ceil(len(view.columns) / across)
            each = min(12 / across, 4.5 * columns / rows / view.aspect)
            heights.append(down * (0.6 + each * rows * view.aspect / columns))
        figure = Figure(figsize=(12, sum(heights)), layout="constrained")
        halves = figure.subfigures(
            len(heights), 1, squeeze=False, height_ratios=heights
        )[:, 0]
        top = halves[0].subplots(1, len(shown) + 1, squeeze=False)[0]
        for axes, (structure, of_models) in zip(top, shown.items(), strict=False):
            draw_cases(axes, structure, of_models)
        top[0].set_ylabel("Dice of a test case")
        draw_validation(top[-1], curves)
        if exhibit is not None:
            view = exhibit.views[0]
            panels = list(halves[1].subplots(down, across, squeeze=False).ravel())
            draw_view(panels[: len(view.columns)], view, exhibit)
            for axes, name in zip(panels, view.columns, strict=False):
                words = _under(name, exhibit)
                if down > 1:  # narrow columns
                    words = textwrap.fill(words, int(each * LETTERS_AN_INCH * 0.9))
                axes.set_title(words, fontsize=10 if down == 1 else SMALL)
            for axes in panels[len(view.columns) :]:
                axes.set_visible(False)
        figure.suptitle(title, x=0.01, ha="left", fontweight="bold", fontsize=13)
        return to_png(figure)
