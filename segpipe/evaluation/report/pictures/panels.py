"""Panels: slices of a case to scroll and zoom, as a part of the page.

The contours are vectors and the slices PNG without loss. Without scripts, and on paper,
a panel shows its chosen slices.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from segpipe.evaluation.report.pictures.contours import BORDER, colour_of
from segpipe.evaluation.report.pictures.planes import (
    REFERENCE,
    Exhibit,
    View,
    in_words,
    scale_bar,
)
from segpipe.evaluation.report.pictures.script import TEMPLATE
from segpipe.evaluation.report.pictures.slices import encode_slices
from segpipe.evaluation.scores import mean_known

LARGEST_PAGE = 20_000_000  # bytes of all panels of a page, about
DOT = " \N{MIDDLE DOT} "
MOST_WIDE, MOST_HIGH = 640, 440  # pixels of a picture on the page


@dataclass(frozen=True, eq=False)
class ShownCase:
    """A case of the page.

    Attributes:
        name: Name of its pictures, such as worst.
        title: Why it is shown, and its pseudonym.
        exhibit: What is shown.
        dice: Dice of each structure by model; NaN where it does not count.
    """

    name: str
    title: str
    exhibit: Exhibit
    dice: dict[str, dict[str, float]]

    def score(self, model: str) -> str:
        """The mean Dice of a model over the structures, in words."""
        mean = mean_known(list(self.dice[model].values()))
        kind = "mean Dice" if len(self.dice[model]) > 1 else "Dice"
        return f"{kind} {_dice(mean)}"


def _dice(value: float) -> str:
    return "\N{EN DASH}" if math.isnan(value) else f"{value:.3f}"


def build_panels(cases: Sequence[ShownCase]) -> list[Markup]:
    """The panels of each case, together about LARGEST_PAGE bytes at most."""
    return [_build_case(case, LARGEST_PAGE // len(cases)) for case in cases]


def _build_case(case: ShownCase, budget: int) -> Markup:
    exhibit = case.exhibit
    views = [
        _build_view(case, view, f"{case.name}{n}", budget // len(exhibit.views))
        for n, view in enumerate(exhibit.views)
    ]
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    return Markup(  # noqa: S704 (the template escapes what it is given)
        environment.from_string(TEMPLATE).render(
            title=case.title,
            views=views,
            legend=_build_legend(case),
            notes=exhibit.notes,
            border=BORDER,
        )
    )


def _build_view(case: ShownCase, view: View, place: str, budget: int) -> dict[str, Any]:
    """What the template needs of a view."""
    kept, defs, step = encode_slices(case.exhibit, view, place, budget)
    rows, columns = view.image.shape[1:3]
    height = round(rows * view.aspect, 3)
    low, high = view.window
    notes = [f"window {in_words(low)} to {in_words(high)}"]
    if step > 1:
        notes.append(f"drawn at 1/{step} of its resolution")
    if len(kept) < view.count:
        notes.append(f"{len(kept)} of {view.count} slices")
    bar = scale_bar(columns * view.pixel[0])
    return {
        "id": place,
        "name": view.name,
        "words": f"{view.name} plane" if view.name else "the image",
        "note": ", ".join(notes),
        "at": kept.index(view.chosen),
        "slices": [view.words(n) for n in kept],
        "width": columns,
        "height": height,
        "screen": round(min(MOST_WIDE, MOST_HIGH * columns / height)),
        "least": 190 if view.name else 330,  # an image alone has room
        "user": round(columns / 220, 3),
        "pixel": view.pixel[0],
        "unit": view.unit,
        "edges": view.edges,
        "fine": max(columns, height) < 2 * MOST_WIDE,
        "bar": (
            round(100 * bar / view.pixel[0] / columns, 2),
            f"{bar:g}\N{NO-BREAK SPACE}{view.unit}",
        ),
        "defs": Markup("".join(defs)),  # noqa: S704 (numbers only)
        "columns": [_build_column(case, view, name, kept) for name in view.columns],
    }


def _build_column(
    case: ShownCase, view: View, name: str, kept: list[int]
) -> dict[str, Any]:
    """What the template needs of a column of a view."""
    where = f"{view.name} plane, {view.words(view.chosen)}" if view.name else "image"
    column: dict[str, Any] = {
        "uses": [("", "")],
        "below": name,
        "empty": [],
        "nothing": "",
        "words": f"{case.title}: {where}, without contours",
    }
    regions = view.regions(name)
    if regions is None:
        return column
    if name == REFERENCE:
        column["words"] = f"{case.title}: {where}, dashed contours of the reference"
        column["uses"] += [
            ("r", "border wide"),
            ("r", "dashed"),
            ("rt", ""),
        ]
        return column
    part = f"m{list(view.predictions).index(name)}"
    over = [] if view.reference is None else [("r", "border thin")]
    column["uses"] += [
        *over,
        (part, "border wide"),
        (part, "solid"),
        *([("r", "over")] if over else []),
        (f"{part}t", ""),
    ]
    found = case.exhibit.found(name)
    column["below"] = f"{name}: {found}, {case.score(name)}"
    column["empty"] = [n for n, place in enumerate(kept) if not regions[place].any()]
    column["nothing"] = (
        "nothing found in this slice" if found.startswith("found") else found
    )
    scores = ", ".join(f"{s} {_dice(d)}" for s, d in list(case.dice[name].items())[:8])
    column["words"] = (
        f"{case.title}: {where}, solid contours of {name} ({found}) under the dashed "
        f"reference; Dice {scores}"
    )
    return column


def _build_legend(case: ShownCase) -> dict[str, Any]:
    exhibit = case.exhibit
    models = list(exhibit.views[0].predictions)
    rows = []
    for one in exhibit.structures:
        cells = []
        for column, size in one.sizes.items():
            words = in_words(size)
            if one.instances:
                words += f" (n = {one.instances[column]})"
            if column in models:
                words += f"{DOT}{_dice(case.dice[column][one.name])}"
            cells.append(words)
        name = f"{one.number} {one.name}" if exhibit.numbered else one.name
        if one.number is None:
            name += ", each instance in a colour of its own"
        colour = None if one.number is None else colour_of(one.number)
        rows.append({"name": name, "colour": colour, "cells": cells})
    names = [
        "Structure",
        *(
            f"{column} ({exhibit.unit}{DOT}Dice)"
            if column in models
            else f"{column} ({exhibit.unit})"
            for column in [REFERENCE, *models]
        ),
    ]
    return {"names": names, "rows": rows}
