"""Readers get their items by review.yaml; asked again, only what is missing."""

from pathlib import Path

import pytest

from segpipe.approval.use import open_court
from segpipe.project.errors import DataError
from segpipe.review.accounts.assignments import list_tasks
from segpipe.review.accounts.users import revoke_user
from segpipe.review.work.assignment import assign_readers
from tests.support.readers import ADMIN, Review
from tests.support.work import control, open_work, shown

ITEMS = {
    **{f"item{n}": shown("random", f"case{n}") for n in range(4)},
    "again": shown("repeat", "case0", repeats="item0"),
    "ctrl": control(),
}


@pytest.fixture
def review(tmp_path: Path) -> Review:
    review = open_work(tmp_path, ITEMS, trainers=("eve@lab", "eve"))
    for name in ("jane", "john", "eve"):
        review.add(name, reads=False)
    review.add("lea", "lead", reads=False)
    return review


def act(review: Review, *names: str) -> list[str]:
    court = open_court(review.root)
    return assign_readers(review.volume, names, court, review.database)


def queue(review: Review, name: str) -> list[str]:
    user = review.reader(name).user
    tasks = list_tasks(review.database, user, review.volume.digest)
    return [task.assignment.item for task in tasks]


def test_all_readers_but_the_trainer_get_their_items_once(review: Review) -> None:
    lines = act(review)

    assert lines[0].startswith("left out: eve: expected a reviewer who did not train")
    assert lines[1:] == ["jane: 6 new, 6 of 6 cases", "john: 6 new, 6 of 6 cases"]
    for name in ("jane", "john"):
        own = queue(review, name)
        assert sorted(own) == sorted(ITEMS)
        assert own.index("again") - own.index("item0") >= 2
    assert act(review)[1:] == ["jane: 0 new, 6 of 6 cases", "john: 0 new, 6 of 6 cases"]


def test_what_somebody_leaves_goes_to_others(review: Review) -> None:
    act(review)
    revoke_user(review.database, "john", "has left", review.root, by=ADMIN)
    with pytest.raises(DataError, match=r"at least 2 readers, found 1 \(jane\)"):
        act(review)
    review.add("mary", reads=False)

    assert act(review, "mary") == ["mary: 6 new, 6 of 6 cases"]
    assert act(review)[1:] == ["jane: 0 new, 6 of 6 cases", "mary: 0 new, 6 of 6 cases"]


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["jane", "eve"], r"eve: expected a reviewer who did not train it, found"),
        (["jane", "lea"], "lea: expected the role reader, found lead"),
        (["jane", "nora"], "nora: expected one of those with a key"),
        (["jane"], r"expected at least 2 readers, found 1 \(jane\); name more people"),
    ],
)
def test_who_may_not_read_is_refused_with_a_sentence(
    review: Review, names: list[str], found: str
) -> None:
    with pytest.raises(DataError, match=found):
        act(review, *names)
    assert queue(review, "jane") == []


def test_a_protocol_that_changed_meanwhile_is_refused(review: Review) -> None:
    path = review.root / "review.yaml"
    path.write_text(path.read_text().replace("per_case: 2", "per_case: 1"))

    with pytest.raises(DataError, match=r"the review\.yaml under which it was drawn"):
        act(review)
