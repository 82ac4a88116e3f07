"""A reading is stored, may be said anew, and is final once signed."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Barrier

import pytest

from segpipe.approval.policy import utc_now
from segpipe.project.errors import DataError
from segpipe.review.accounts import readings
from segpipe.review.accounts.assignments import find_task, list_tasks, open_task
from segpipe.review.accounts.readings import Reading, submit_reading
from segpipe.review.accounts.signing import digest_unsigned, sign_readings
from segpipe.review.accounts.tables import Assignment, StoredReading, User
from tests.support.readers import PASSWORD, Review, open_review


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
    reader = review.reader("jane")
    tasks = list_tasks(review.database, jane, review.volume.digest)
    shown = digest_unsigned(tasks)
    sign_readings(review.database, reader, PASSWORD, review.chain, None, shown=shown)

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
    later = utc_now() + timedelta(seconds=60)
    monkeypatch.setattr(readings, "utc_now", lambda: later)
    say(review, jane, 4, claimed)

    assert said(review, jane).seconds == pytest.approx(stored, abs=1)


@pytest.mark.parametrize(
    ("visits", "stored"),
    [
        ([(0, 20.0)], 20.0),
        ([(30, 20.0), (86400, 5.0)], 25.0),  # the score was changed the next day
        ([(30, 20.0), (40, 60.0)], 40.0),
        ([(-3600, 20.0)], 0.0),  # the clock was set back
        ([(-3600, None)], 0.0),
        ([(30, 20.0), (-3600, 5.0)], 20.0),
    ],
)
def test_the_time_at_work_is_that_of_all_visits_and_can_be_signed(
    review: Review,
    monkeypatch: pytest.MonkeyPatch,
    visits: list[tuple[int, float | None]],
    stored: float,
) -> None:
    jane, start = review.add("jane"), utc_now() + timedelta(seconds=60)
    with review.database.begin() as session:
        session.query(Assignment).one().opened = start
    for after, claimed in visits:
        at = start + timedelta(seconds=after or 60)
        monkeypatch.setattr(readings, "utc_now", lambda at=at: at)
        say(review, jane, 4, claimed)

    assert said(review, jane).seconds == stored
    tasks = list_tasks(review.database, jane, review.volume.digest)
    shown, reader = digest_unsigned(tasks), review.reader("jane")
    (record,) = sign_readings(
        review.database, reader, PASSWORD, review.chain, None, shown=shown
    )
    assert record.content.seconds == stored  # type: ignore[union-attr]


def test_two_tabs_that_store_at_once_leave_one_whole_reading(review: Review) -> None:
    """Both find nothing stored yet; neither fails, and one of them was the last."""
    jane = review.add("jane")
    both = Barrier(8, timeout=60)

    def press(score: int) -> None:
        both.wait()
        say(review, jane, score)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(press, [1, 2, 3, 4, 1, 2, 3, 4]))

    assert said(review, jane).ratings["A"]["ball"]["score"] in (1, 2, 3, 4)
