"""A reading is stored, may be said anew, and is final once signed."""

from datetime import timedelta
from pathlib import Path

import pytest

from segpipe.project.errors import DataError
from segpipe.review.accounts import readings
from segpipe.review.accounts.assignments import find_task, open_task
from segpipe.review.accounts.readings import Reading, sign_readings, submit_reading
from segpipe.review.accounts.tables import StoredReading, User, now
from tests.support.readers import Review, open_review


def say(review: Review, user: User, score: int, seconds: float | None = 0.0) -> None:
    rating = {"score": score, "artefact": False, "comment": ""}
    (item,) = review.volume.items
    reading = Reading(review.volume.digest, item, {"A": {"ball": rating}}, seconds)
    submit_reading(review.database, user, reading)


def said(review: Review, user: User) -> StoredReading:
    (item,) = review.volume.items
    task = find_task(review.database, user, review.volume.digest, item)
    assert task is not None
    assert task.reading is not None
    return task.reading


@pytest.fixture
def review(tmp_path: Path) -> Review:
    return open_review(tmp_path, items=1)


def test_a_reading_may_be_said_anew_until_it_is_signed(review: Review) -> None:
    jane = review.add("jane")
    say(review, jane, 1)
    say(review, jane, 3)
    assert said(review, jane).ratings["A"]["ball"]["score"] == 3
    (item,) = review.volume.items
    task = find_task(review.database, jane, review.volume.digest, item)
    assert task is not None
    sign_readings(review.database, [task])

    with pytest.raises(DataError, match="found a signed"):
        say(review, jane, 4)
    assert said(review, jane).ratings["A"]["ball"]["score"] == 3
    assert said(review, jane).signed is not None


def test_nobody_says_anything_of_another_persons_item(review: Review) -> None:
    review.add("jane")
    john = review.add("john", reads=False)

    with pytest.raises(DataError, match="yours to read"):
        say(review, john, 4)


@pytest.mark.parametrize(
    ("claimed", "stored"), [(20.0, 20.0), (7200.0, 60.0), (None, 60.0), (-5.0, 0.0)]
)
def test_time_at_work_is_at_most_the_time_since_the_first_look(
    review: Review,
    monkeypatch: pytest.MonkeyPatch,
    claimed: float | None,
    stored: float,
) -> None:
    jane = review.add("jane")
    (item,) = review.volume.items
    task = find_task(review.database, jane, review.volume.digest, item)
    assert task is not None
    open_task(review.database, task)
    later = now() + timedelta(seconds=60)
    monkeypatch.setattr(readings, "now", lambda: later)
    say(review, jane, 4, claimed)

    assert said(review, jane).seconds == pytest.approx(stored, abs=1)
