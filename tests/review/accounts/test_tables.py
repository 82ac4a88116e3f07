"""Times are UTC in every database."""

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

from segpipe.review.accounts.database import open_database
from segpipe.review.accounts.tables import User


def test_a_time_comes_back_as_the_same_moment(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path}/a.db")
    made = datetime(2026, 11, 26, 1, 30, tzinfo=timezone(timedelta(hours=5)))
    with database.begin() as session:
        session.add(User(name="jane", key="", password="", made=made))
    with database.begin() as session:
        back = session.get_one(User, 1).made

    assert back == made
    assert back.tzinfo is UTC
