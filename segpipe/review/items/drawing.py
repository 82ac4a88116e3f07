"""Drawing: which items a dossier has, in which order, and why each is there."""

from collections.abc import Sequence
from dataclasses import dataclass

from segpipe.project.errors import DataError
from segpipe.review.dossier import Fault, Stratum
from segpipe.review.items.blinding import (
    dice,
    draw_order,
    draw_repeated,
    new_id,
    place_repeats,
)
from segpipe.review.items.controls import KINDS
from segpipe.review.items.selection import Chosen, count_repeats


@dataclass(frozen=True)
class Drawn:
    """An item that will be shown.

    Attributes:
        id: Its opaque id.
        case: The case.
        stratum: Why it is shown.
        rank: Place of the case from the worst; None for a control.
        repeats: The item that it repeats.
        fault: What is done to the candidate's mask.
        also_worst: Whether a random case is one of the worst, too.
    """

    id: str
    case: str
    stratum: Stratum
    rank: int | None = None
    repeats: str | None = None
    fault: Fault | None = None
    also_worst: bool = False


def draw_items(
    chosen: Sequence[Chosen],
    *,
    repeats_fraction: float,
    controls: int,
    drawn_on: Sequence[str],
) -> list[Drawn]:
    """Draw the items in the order in which they are shown.

    Args:
        chosen: The cases to review.
        repeats_fraction: Share of them that the same reader sees again.
        controls: Number of masks that are bad on purpose.
        drawn_on: Cases in which a structure is drawn; controls are made of them.

    Raises:
        DataError: If there is no case to make a control of.
    """
    items = {
        one.id: one
        for one in (
            *map(_show, chosen),
            *_draw_controls(chosen, controls, drawn_on),
        )
    }
    order = draw_order(list(items))
    regular = [one.id for one in items.values() if one.fault is None]
    count = count_repeats(repeats_fraction, len(regular))
    repeats = {new_id(): item for item in draw_repeated(order, regular, count)}
    for new, original in repeats.items():
        first = items[original]
        items[new] = Drawn(new, first.case, "repeat", first.rank, repeats=original)
    return [items[item] for item in place_repeats(order, repeats)]


def _show(one: Chosen) -> Drawn:
    return Drawn(new_id(), one.case, one.stratum, one.rank, also_worst=one.also_worst)


def _draw_controls(
    chosen: Sequence[Chosen], count: int, drawn_on: Sequence[str]
) -> list[Drawn]:
    """Controls of all kinds in turn, of cases that are not shown where possible."""
    if not count:
        return []
    if not drawn_on:
        raise DataError(
            "review.yaml, cases.controls: expected a test case in which a structure is "
            "drawn, to make a control of, found none; write controls: 0"
        )
    shown = {one.case for one in chosen}
    mixed = dice.sample(drawn_on, len(drawn_on))
    mixed.sort(key=lambda case: case in shown)
    kinds = dice.sample(KINDS, len(KINDS))
    return [
        Drawn(new_id(), mixed[n % len(mixed)], "control", fault=kinds[n % len(kinds)])
        for n in range(count)
    ]
