"""Sharing: which reader gets which items of a dossier, and in which order.

Nothing here knows a person, a database or a record: who shares items out says what is
there, and gets back what is new.
"""

import random
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from segpipe.project.errors import DataError


@dataclass(frozen=True)
class Deal:
    """What is shared out.

    Attributes:
        items: Items that are neither repeats nor controls.
        repeats: Item that repeats another one, to that one.
        controls: Items whose masks are bad on purpose.
    """

    items: Sequence[str]
    repeats: Mapping[str, str]
    controls: Sequence[str]


def share(
    deal: Deal,
    readers: Sequence[str],
    *,
    per_case: int,
    taken: Mapping[str, Collection[str]],
    dice: random.Random,
) -> dict[str, set[str]]:
    """Give each item the readers that it lacks, as evenly as possible.

    The items that are repeated, which weigh double, are shared out first, and each item
    goes to those who have the least. So two readers differ by one item at most, if
    there are as many items without a repeat as readers. A repeat goes to the readers of
    the item that it repeats, and all controls to everybody who reads.

    Args:
        deal: The items.
        readers: Those who may get items.
        per_case: Readers of each item.
        taken: Item to those who have it.
        dice: Chooses among readers who have the same number of items.

    Returns:
        Reader to the items that are new to the reader.

    Raises:
        DataError: If there are too few readers.
    """
    copies = {original: repeat for repeat, original in deal.repeats.items()}
    own = {one: {i for i, who in taken.items() if one in who} for one in readers}
    load = Counter({one: len(own[one] - {*deal.controls}) for one in readers})
    fresh: dict[str, set[str]] = {one: set() for one in readers}
    mixed = dice.sample(deal.items, len(deal.items))
    for item in sorted(mixed, key=lambda one: one not in copies):
        has = set(taken.get(item, ()))
        others = [one for one in readers if one not in has]
        lacking = max(0, per_case - len(has))
        if len(others) < lacking:
            raise DataError(describe_lack(per_case, sorted({*readers, *has})))
        order = sorted(dice.sample(others, len(others)), key=load.__getitem__)
        for one in order[:lacking]:
            fresh[one].add(item)
            load[one] += 1
        if item in copies:
            for one in readers:
                if item in own[one] | fresh[one] and copies[item] not in own[one]:
                    fresh[one].add(copies[item])
                    load[one] += 1
    for one in readers:
        if load[one]:
            fresh[one] |= {*deal.controls} - own[one]
    return fresh


def describe_lack(per_case: int, readers: Sequence[str]) -> str:
    """That there are too few readers, and what to do."""
    return (
        f"review.yaml, readers.per_case: expected at least {per_case} readers, found "
        f"{len(readers)} ({', '.join(readers) or 'nobody'}); name more people, add one "
        "with `segpipe review users add NAME --printed-name 'FULL NAME' --role reader "
        "--by ADMIN`, or lower readers.per_case"
    )


def order_queue(
    before: Sequence[str],
    fresh: Collection[str],
    repeats: Mapping[str, str],
    *,
    dice: random.Random,
) -> list[str]:
    """The order in which a reader sees new items, after those of before.

    Items that are repeated come in the first half and their repeats after it,
    never one after the other where anything else can stand between them.

    Args:
        before: The reader's queue until now.
        fresh: Items that are new to the reader.
        repeats: Item that repeats another one, to that one.
        dice: Draws the order.
    """
    again = [item for item in sorted(fresh) if item in repeats]
    plain = sorted({*fresh} - {*again})
    early = [item for item in plain if item in {repeats[one] for one in again}]
    rest = [item for item in plain if item not in early]
    rest = dice.sample(rest, len(rest))
    half = max(0, (len(plain) + 1) // 2 - len(early))
    early += rest[:half]
    queue = [*before, *dice.sample(early, len(early)), *rest[half:]]
    middle = len(before) + (len(plain) + 1) // 2
    firsts = [queue.index(repeats[item]) for item in again]
    middle = max([middle, *(place + 1 for place in firsts)])
    for item in sorted(again, key=lambda one: queue.index(repeats[one])):
        earliest = max(middle, queue.index(repeats[item]) + 2)
        queue.insert(dice.randint(min(earliest, len(queue)), len(queue)), item)
    return queue[len(before) :]
