"""Items are shared out by the protocol, whoever reads, and only what is missing."""

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segpipe.project.errors import DataError
from segpipe.review.work.sharing import Deal, order_queue, share


@st.composite
def deals(draw: st.DrawFn) -> tuple[Deal, list[str], int, int]:
    """A dossier, its readers, readers an item, and a seed."""
    items = [f"item{n}" for n in range(draw(st.integers(1, 30)))]
    count = draw(st.integers(0, len(items)))
    repeats = {f"again{n}": items[n] for n in range(count)}
    controls = [f"control{n}" for n in range(draw(st.integers(0, 3)))]
    readers = [f"reader{n}" for n in range(draw(st.integers(1, 7)))]
    per_case = draw(st.integers(1, len(readers)))
    seed = draw(st.integers(0, 1000))
    return Deal(items, repeats, controls), readers, per_case, seed


def readers_of(shared: dict[str, set[str]]) -> dict[str, set[str]]:
    who: dict[str, set[str]] = {}
    for reader, items in shared.items():
        for item in items:
            who.setdefault(item, set()).add(reader)
    return who


@settings(deadline=None, max_examples=60)
@given(deals())
def test_each_item_has_its_readers_and_each_reader_the_same_work(
    drawn: tuple[Deal, list[str], int, int],
) -> None:
    deal, readers, per_case, seed = drawn
    dice = random.Random(seed)
    shared = share(deal, readers, per_case=per_case, taken={}, dice=dice)
    who = readers_of(shared)

    assert {len(who[item]) for item in deal.items} == {per_case}
    assert all(who[repeat] == who[item] for repeat, item in deal.repeats.items())
    busy = {one for one, own in shared.items() if own}
    assert all(who[control] == busy for control in deal.controls)
    loads = [len(shared[one] - {*deal.controls}) for one in readers]
    enough = len(deal.items) - len(deal.repeats) >= len(readers)
    assert max(loads) - min(loads) <= (1 if enough else 2)


@settings(deadline=None, max_examples=60)
@given(deals())
def test_a_queue_holds_everything_once_and_a_repeat_later_and_not_next(
    drawn: tuple[Deal, list[str], int, int],
) -> None:
    deal, readers, per_case, seed = drawn
    dice = random.Random(seed)
    shared = share(deal, readers, per_case=per_case, taken={}, dice=dice)

    for fresh in shared.values():
        queue = order_queue([], fresh, deal.repeats, dice=dice)
        assert Counter(queue) == Counter(fresh)
        if len({*queue} - deal.repeats.keys()) == 1:
            continue  # nothing can stand between
        for repeat in fresh & deal.repeats.keys():
            apart = queue.index(repeat) - queue.index(deal.repeats[repeat])
            assert apart >= 2


@settings(deadline=None, max_examples=60)
@given(deals(), st.data())
def test_sharing_again_adds_only_what_is_missing(
    drawn: tuple[Deal, list[str], int, int], data: st.DataObject
) -> None:
    """Somebody may have left, and somebody else be named."""
    deal, readers, per_case, seed = drawn
    dice = random.Random(seed)
    first = share(deal, readers, per_case=per_case, taken={}, dice=dice)
    taken = readers_of(first)
    again = share(deal, readers, per_case=per_case, taken=taken, dice=dice)
    assert not any(again.values())

    gone = data.draw(st.sampled_from(readers))
    left = {item: who - {gone} for item, who in taken.items()}
    others = [*(one for one in readers if one != gone), "new"]
    more = share(deal, others, per_case=per_case, taken=left, dice=dice)
    who = readers_of(more)
    for item in deal.items:
        assert len(left[item] | who.get(item, set())) == per_case
        assert not left[item] & who.get(item, set())
    for repeat, item in deal.repeats.items():
        assert left[repeat] | who.get(repeat, set()) == left[item] | who.get(
            item, set()
        )


def test_too_few_readers_are_told_with_the_mend() -> None:
    deal = Deal(["item"], {}, [])

    with pytest.raises(DataError, match=r"at least 3 readers, found 2 \(jane, john\)"):
        share(deal, ["jane", "john"], per_case=3, taken={}, dice=random.Random(0))
