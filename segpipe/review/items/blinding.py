"""Blinding: opaque ids, letters and an order that tell readers nothing.

All of them come from the randomness of the operating system: who knows the program and
the data still cannot find out what a letter stands for.
"""

import secrets
from collections.abc import Mapping, Sequence

from segpipe.review.dossier import LETTERS, Letter, Source

ID_BYTES = 8  # 2^64 ids: no two items of a dossier agree
dice = secrets.SystemRandom()


def new_id() -> str:
    """An id of 16 hexadecimal digits that is made of nothing."""
    return secrets.token_hex(ID_BYTES)


def draw_letters(sources: Sequence[Source]) -> dict[Letter, Source]:
    """Which mask has which letter, for one item."""
    mixed = dice.sample(sources, len(sources))
    return dict(zip(LETTERS, mixed, strict=False))


def draw_order(items: Sequence[str]) -> list[str]:
    """The items in random order."""
    return dice.sample(items, len(items))


def draw_repeated(
    order: Sequence[str], allowed: Sequence[str], count: int
) -> list[str]:
    """Draw the items to repeat, from the first half of the order where possible.

    Args:
        order: All items in their order.
        allowed: Those that may be repeated.
        count: How many.
    """
    known = [item for item in order if item in set(allowed)]
    early = known[: max(count, len(known) // 2)]
    return dice.sample(early, min(count, len(early)))


def place_repeats(order: Sequence[str], repeats: Mapping[str, str]) -> list[str]:
    """Put each repeat anywhere after its original, in the second half of the order.

    Args:
        order: The items.
        repeats: Repeat to its original.
    """
    placed = list(order)
    for repeat, original in repeats.items():
        earliest = max(placed.index(original) + 1, (len(order) + 1) // 2)
        placed.insert(dice.randint(earliest, len(placed)), repeat)
    return placed
