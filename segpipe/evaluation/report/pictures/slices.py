"""Slices: an image without loss as PNG, and its contours as SVG.

A case that is too large for the page is shown with fewer slices, and a slice that is
too large by itself at a lower resolution.
"""

import base64
import io
from collections.abc import Iterator

import numpy as np
from PIL import Image

from segpipe.evaluation.report.pictures.contours import (
    colour_of,
    middles,
    outlines,
    svg_path,
)
from segpipe.evaluation.report.pictures.planes import REFERENCE, Exhibit, View

SLICES = 41  # of a plane, at most
LONGEST_SIDE = 1024  # pixels of a slice; the image of a larger one is reduced


def encode_slices(
    exhibit: Exhibit, view: View, place: str, budget: int
) -> tuple[list[int], list[str], int]:
    """As many slices around the chosen one as the budget allows.

    Returns:
        Numbers of the slices in their order; the slices and their contours as SVG;
        the step of the pixels that are drawn, 1 for all of them.
    """
    step = -(-max(view.image.shape[1:3]) // LONGEST_SIDE)
    fine = 1
    made = {view.chosen: _encode_slice(exhibit, view, view.chosen, step, fine)}
    while len(made[view.chosen]) > budget and fine < LONGEST_SIDE:
        fine *= 2
        step = max(step, fine)
        made = {view.chosen: _encode_slice(exhibit, view, view.chosen, step, fine)}
    size = len(made[view.chosen])
    for number in _outwards(view.chosen, len(view.image)):
        if len(made) == SLICES:
            break
        text = _encode_slice(exhibit, view, number, step, fine)
        size += len(text)
        if size > budget:
            break
        made[number] = text
    kept = sorted(made)
    return (
        kept,
        [made[n].replace("@", f"{place}-{at}") for at, n in enumerate(kept)],
        step,
    )


def _outwards(chosen: int, count: int) -> Iterator[int]:
    """The other numbers below the count, those next to the chosen one first."""
    for distance in range(1, count):
        for number in (chosen - distance, chosen + distance):
            if 0 <= number < count:
                yield number


def _encode_slice(
    exhibit: Exhibit, view: View, number: int, step: int, fine: int
) -> str:
    """A slice and the contours on it as SVG, in which ``@`` stands for its id.

    Args:
        exhibit: The case.
        view: The plane.
        number: Number of the slice.
        step: Step of the pixels of the image; those between are averaged.
        fine: Step of the pixels of the contours.
    """
    rows, columns = view.image.shape[1:3]
    high = round(rows * view.aspect, 3)
    text = [
        f'<image id="@" width="{columns}" height="{high}" preserveAspectRatio="none" '
        f'href="data:image/png;base64,{_png(view.grey(number), step)}"/>'
    ]
    for name in view.columns[1:]:
        regions = view.regions(name)
        assert regions is not None
        part = "r" if name == REFERENCE else f"m{list(view.predictions).index(name)}"
        shown = regions[number][::fine, ::fine]
        paths = "".join(
            f'<path style="stroke:var(--stroke,{colour_of(region)})" '
            f'd="{svg_path(lines)}"/>'
            for region, lines in outlines(shown)
        )
        x, y = fine / 2, round(fine / 2 * view.aspect, 5)
        text.append(
            f'<g id="@{part}" class="contour">'
            f'<g transform="scale({x:g} {y:g})">{paths}</g></g>'
        )
        texts = ""
        if exhibit.numbered:
            texts = "".join(
                f'<text x="{x * fine:g}" y="{y * fine * view.aspect:g}">{region}</text>'
                for region, (x, y) in middles(shown)
            )
        text.append(f'<g id="@{part}t" class="contour">{texts}</g>')
    return "".join(text)


def _png(grey: np.ndarray, step: int) -> str:
    """A slice as PNG in base64."""
    image, file = Image.fromarray(grey), io.BytesIO()
    (image.reduce(step) if step > 1 else image).save(file, format="png")
    return base64.b64encode(file.getvalue()).decode()
