"""Drawing: a plane with its contours, numbers, letters of sides and scale bar."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.patheffects import withStroke

from segpipe.evaluation.report.pictures.contours import (
    BORDER,
    DASHES,
    MARGIN,
    OVER,
    THIN,
    WIDE,
    colour_of,
    middles,
    outlines,
)
from segpipe.evaluation.report.pictures.planes import (
    REFERENCE,
    Exhibit,
    View,
    scale_bar,
)

HALO = [withStroke(linewidth=2.5, foreground=BORDER)]
# Where the letters of the patient's sides stand: left, right, top, bottom.
SIDES = (
    (0.015, 0.5, "left", "center"),
    (0.985, 0.5, "right", "center"),
    (0.5, 0.985, "center", "top"),
    (0.5, 0.015, "center", "bottom"),
)


def draw_view(row: Sequence[Axes], view: View, exhibit: Exhibit) -> None:
    """Draw the chosen slice: image, reference, and predictions under the reference."""
    reference = view.regions(REFERENCE)
    rows, columns = view.image.shape[1:3]
    for axes, name in zip(row, view.columns, strict=True):
        axes.imshow(
            view.grey(view.chosen),
            cmap="gray",
            vmin=0,
            vmax=255,
            aspect=view.aspect,
            extent=(0, columns, rows, 0),
        )
        regions = view.regions(name)
        if regions is not None:
            own = regions[view.chosen]
            other = None if reference is None else reference[view.chosen]
            draw_contours(axes, own, solid=name != REFERENCE)
            if other is not None and name != REFERENCE:
                draw_contours(axes, other, over=True)
            if exhibit.numbered:
                _draw_numbers(axes, own)
            if name != REFERENCE and not own.any():
                _draw_absence(axes, name, exhibit)
        _draw_marks(axes, view)
        axes.set(xlim=(0, columns), ylim=(rows, 0), xticks=[], yticks=[])
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)


def draw_contours(
    axes: Axes, regions: np.ndarray, *, solid: bool = False, over: bool = False
) -> None:
    """Draw the outlines of regions, each line over a wider dark one.

    Args:
        axes: Where to draw.
        regions: Number of the region of each pixel.
        solid: Whether the lines are those of a prediction.
        over: Whether they are the reference over a prediction: thin and white.
    """
    found = [(number, line) for number, lines in outlines(regions) for line in lines]
    lines = [line for _, line in found]
    width = THIN if over else WIDE
    colours = [OVER if over else colour_of(number) for number, _ in found]
    border = LineCollection(
        lines, colors=BORDER, linewidths=width + MARGIN, zorder=2 if over else 3
    )
    inner = LineCollection(
        lines,
        colors=colours,
        linewidths=width,
        linestyles="solid" if solid else [(0, DASHES)],
        zorder=5 if over else 4,
    )
    axes.add_collection(border)
    axes.add_collection(inner)


def _draw_numbers(axes: Axes, regions: np.ndarray) -> None:
    for number, (x, y) in middles(regions):
        axes.text(
            x,
            y,
            str(number),
            color=OVER,
            fontsize=7,
            ha="center",
            va="center",
            path_effects=HALO,
            clip_on=True,
            zorder=6,
        )


def _draw_absence(axes: Axes, model: str, exhibit: Exhibit) -> None:
    """Say in the picture that there is no contour since nothing was found."""
    found = exhibit.found(model)
    words = found if not found.startswith("found") else "nothing found in this slice"
    axes.text(
        0.5,
        0.68,
        words,
        transform=axes.transAxes,
        color=OVER,
        fontsize=9,
        weight="bold",
        ha="center",
        va="center",
        path_effects=HALO,
        zorder=7,
    )


def _draw_marks(axes: Axes, view: View) -> None:
    """Draw the letters of the patient's sides, and a bar of a known length."""
    for letter, (x, y, ha, va) in zip(view.edges, SIDES, strict=False):
        axes.text(
            x,
            y,
            letter,
            transform=axes.transAxes,
            color=OVER,
            fontsize=10,
            weight="bold",
            ha=ha,
            va=va,
            path_effects=HALO,
            zorder=7,
        )
    rows, columns = view.image.shape[1:3]
    length = scale_bar(columns * view.pixel[0])
    right = columns * 0.97
    axes.plot(
        [right - length / view.pixel[0], right],
        [rows * 0.96] * 2,
        color=OVER,
        lw=2,
        solid_capstyle="butt",
        path_effects=[withStroke(linewidth=4, foreground=BORDER)],
        zorder=7,
    )
    axes.text(
        right,
        rows * 0.94,
        f"{length:g} {view.unit}",
        color=OVER,
        fontsize=7.5,
        ha="right",
        va="bottom",
        path_effects=HALO,
        zorder=7,
    )
