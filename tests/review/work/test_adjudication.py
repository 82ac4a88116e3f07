"""An item on which readers disagree goes to somebody who is neither, at once."""

from pathlib import Path
from typing import Any

import pytest

from segpipe.approval.chain.signing import append
from segpipe.review.accounts.assignments import list_all
from segpipe.review.dossier import read_key
from segpipe.review.work.adjudication import adjudicate
from tests.support.readers import PASSWORD, Review
from tests.support.work import control, open_work, protocol_of, reading_of, shown

ITEMS = {"item1": shown(), "item2": shown("worst", rank=1), "ctrl": control()}
PEOPLE: dict[str, Any] = {
    "jane": ("reader", "adjudicator"),
    "john": ("reader",),
    "anna": ("adjudicator",),
    "eve": ("adjudicator",),  # who trained it
    "bob": ("reader",),
}


@pytest.fixture
def review(tmp_path: Path) -> Review:
    review = open_work(tmp_path, ITEMS)
    for name, roles in PEOPLE.items():
        review.add(name, *roles, reads=False)
    for name in ("jane", "john"):
        review.give(review.reader(name).user)
    return review


def sign(review: Review, name: str, item: str, score: int | None) -> None:
    content = reading_of(review.volume, item, {"candidate": score})
    append(content, name, PASSWORD, review.root)


def act(review: Review) -> list[str]:
    return adjudicate(
        review.database,
        review.volume,
        read_key(review.volume.folder),
        review.chain.read(),
        protocol_of(review.root),
    )


def adjudicators(review: Review) -> list[tuple[str, str]]:
    tasks = list_all(review.database, review.volume.digest)
    return [
        (user.name, task.assignment.item)
        for user, task in tasks
        if task.assignment.purpose == "adjudicate"
    ]


def test_the_signature_that_completes_an_item_calls_the_adjudicator(
    review: Review,
) -> None:
    """Jane read it herself, Eve trained it, Bob lacks the role: Anna is left."""
    for item in ITEMS:
        sign(review, "jane", item, 4)
    assert act(review) == []
    sign(review, "john", "item2", 3)
    sign(review, "john", "ctrl", 1)
    assert act(review) == []
    sign(review, "john", "item1", 1)

    assert act(review) == ["item1"]
    assert act(review) == []
    assert adjudicators(review) == [("anna", "item1")]


def test_an_item_waits_until_there_is_an_adjudicator(review: Review) -> None:
    review.give(review.reader("anna").user, "item2")  # she is to read this one
    sign(review, "jane", "item2", None)
    sign(review, "john", "item2", 4)

    assert act(review) == []
    review.add("ruth", "adjudicator", reads=False)
    assert act(review) == ["item2"]
    assert adjudicators(review) == [("ruth", "item2")]


def test_without_a_protocol_nobody_adjudicates(review: Review) -> None:
    key, chain = read_key(review.volume.folder), review.chain.read()

    assert adjudicate(review.database, review.volume, key, chain, None) == []
