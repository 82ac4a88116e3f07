"""A session is known by its token alone, and ends."""

import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest

from segpipe.approval.policy import utc_now
from segpipe.review.accounts import sessions
from segpipe.review.accounts.sessions import (
    close_session,
    find_visitor,
    open_session,
)
from tests.support.readers import Review, open_review


@pytest.fixture
def review(tmp_path: Path) -> Review:
    return open_review(tmp_path, items=1)


def test_a_token_opens_the_session_and_is_not_in_the_database(review: Review) -> None:
    token = open_session(review.database, review.add("jane", "reader", "lead"))
    visitor = find_visitor(review.database, token, review.roster)

    assert visitor is not None
    assert visitor.user.name == "jane"
    assert visitor.may("lead", "admin")
    assert not visitor.may("admin")
    dump = "".join(sqlite3.connect(review.root / "accounts.db").iterdump())
    assert visitor.csrf in dump
    assert token not in dump
    assert find_visitor(review.database, visitor.token, review.roster) is None


@pytest.mark.parametrize(
    ("idle", "open_for", "known"),
    [
        (timedelta(minutes=110), timedelta(minutes=110), True),
        (timedelta(minutes=121), timedelta(minutes=121), False),
        (timedelta(minutes=100), timedelta(hours=11), True),
        (timedelta(minutes=100), timedelta(hours=13), False),
    ],
)
def test_a_session_ends_when_idle_and_after_twelve_hours(
    review: Review,
    monkeypatch: pytest.MonkeyPatch,
    idle: timedelta,
    open_for: timedelta,
    known: bool,
) -> None:
    start = utc_now()
    token = open_session(review.database, review.add("jane"))
    visits = [timedelta(minutes=90 * step) for step in range(1, 9)]
    for visit in [one for one in visits if one <= open_for - idle] + [open_for - idle]:
        monkeypatch.setattr(sessions, "utc_now", lambda visit=visit: start + visit)
        find_visitor(review.database, token, review.roster)
    monkeypatch.setattr(sessions, "utc_now", lambda: start + open_for)

    assert (find_visitor(review.database, token, review.roster) is not None) is known


def test_a_closed_session_is_unknown(review: Review) -> None:
    user = review.add("jane")
    tokens = [open_session(review.database, user) for _ in range(2)]
    visitor = find_visitor(review.database, tokens[0], review.roster)
    assert visitor is not None
    close_session(review.database, visitor)

    assert find_visitor(review.database, tokens[0], review.roster) is None
    assert find_visitor(review.database, tokens[1], review.roster) is not None
