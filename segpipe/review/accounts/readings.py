"""Readings: what a person says of an item is stored, and then signed for good."""

from dataclasses import dataclass
from typing import Any

from segpipe.approval.policy import utc_now
from segpipe.project.errors import DataError
from segpipe.review.accounts.assignments import lock_tasks
from segpipe.review.accounts.database import Database
from segpipe.review.accounts.tables import StoredReading, User

Ratings = dict[str, dict[str, dict[str, Any]]]  # letter, structure, then the rating


@dataclass(frozen=True)
class Reading:
    """What a person says of one item.

    Attributes:
        dossier: SHA-256 of dossier.json.
        item: The item's opaque id.
        ratings: Letter, structure, then score, artefact and comment.
        seconds: Time at work as the page counted it in this visit; None if it did not.
    """

    dossier: str
    item: str
    ratings: Ratings
    seconds: float | None


def submit_reading(database: Database, user: User, reading: Reading) -> None:
    """Store what a person says of an item; until it is signed it may be said anew.

    The time at work is that of all visits, and at most the time since the item was
    first shown. While the person's readings are being signed, this waits until they
    are.

    Raises:
        DataError: If the item is not this person's to read, or was signed.
    """
    with database.begin() as session:
        own = lock_tasks(session, user, reading.dossier, reading.item)
        if not own:
            raise DataError(f"{reading.item}: expected an item that is yours to read")
        (task,) = own
        if task.is_signed:
            raise DataError(
                f"{reading.item}: expected an unsigned reading, found a signed"
            )
        end = utc_now()
        since = (end - (task.assignment.opened or end)).total_seconds()
        shown = max(0.0, since)  # the clock may have been set back
        before = task.reading.seconds if task.reading is not None else 0.0
        claimed = shown
        if reading.seconds is not None:
            claimed = before + max(reading.seconds, 0.0)
        session.merge(
            StoredReading(
                assignment_id=task.assignment.id,
                ratings=reading.ratings,
                seconds=round(min(claimed, max(shown, before)), 1),
                made=end,
            )
        )
