"""Assignments: which items of a dossier a person is to read, and which are left."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Select, select, update
from sqlalchemy.orm import Session

from segpipe.approval.people import Person
from segpipe.approval.policy import utc_now
from segpipe.review.accounts.database import Database
from segpipe.review.accounts.tables import Assignment, StoredReading, User
from segpipe.review.shelf import Volume


@dataclass(frozen=True)
class Task:
    """An item that a person is to read, and what the person said of it so far.

    Attributes:
        assignment: Which item, for what.
        reading: What the person said; None until then.
    """

    assignment: Assignment
    reading: StoredReading | None

    @property
    def is_signed(self) -> bool:
        """Whether the reading can no longer be changed."""
        return self.reading is not None and self.reading.signed is not None

    @property
    def is_unsigned(self) -> bool:
        """Whether something was said that waits for the signature."""
        return self.reading is not None and not self.is_signed


def all_signed(tasks: Sequence[Task]) -> bool:
    """Whether a person has signed all of the own tasks, of which there are some."""
    return bool(tasks) and all(task.is_signed for task in tasks)


@dataclass(frozen=True)
class Reader:
    """Who reads a review.

    Attributes:
        user: The login.
        person: Who it is, as the chain says.
        volume: The dossier.
    """

    user: User
    person: Person
    volume: Volume


def assign(
    database: Database,
    user: User,
    *,
    dossier: str,
    items: Sequence[str],
    purpose: str,
) -> int:
    """Give a person items to read, in this order; those that the person has stay.

    Two who give at once wait for each other: an update that changes nothing locks the
    person's row on a PostgreSQL server, and SQLite's file for writing.

    Args:
        database: The accounts.
        user: The person.
        dossier: SHA-256 of dossier.json.
        items: Opaque ids.
        purpose: ``read`` or ``adjudicate``.

    Returns:
        How many items are new to the person.
    """
    with database.begin() as session:
        session.execute(update(User).where(User.id == user.id).values(name=User.name))
        known = {task.item for task in session.scalars(_of(user, dossier))}
        fresh = [item for item in items if item not in known]
        session.add_all(
            Assignment(
                dossier=dossier,
                item=item,
                user_id=user.id,
                place=len(known) + place,
                purpose=purpose,
            )
            for place, item in enumerate(fresh)
        )
    return len(fresh)


def list_dossiers(database: Database, user: User) -> list[str]:
    """The dossiers in which a person has something to read or has read something."""
    own = select(Assignment.dossier).where(Assignment.user_id == user.id).distinct()
    with database.begin() as session:
        return list(session.scalars(own))


def list_tasks(database: Database, user: User, dossier: str) -> list[Task]:
    """What a person is to read of a dossier, in the person's order."""
    rows = (
        select(Assignment, StoredReading)
        .select_from(Assignment)
        .outerjoin(StoredReading)
        .where(Assignment.user_id == user.id, Assignment.dossier == dossier)
        .order_by(Assignment.place)
    )
    with database.begin() as session:
        return [
            Task(assignment, reading) for assignment, reading in session.execute(rows)
        ]


def lock_tasks(
    session: Session, user: User, dossier: str, item: str | None = None
) -> list[Task]:
    """A person's tasks of a dossier, which nobody else changes in this transaction.

    An update that changes nothing locks the rows on a PostgreSQL server, and SQLite's
    file for writing.

    Args:
        session: The transaction.
        user: The person.
        dossier: SHA-256 of dossier.json.
        item: The only item; none for all.
    """
    own = [Assignment.user_id == user.id, Assignment.dossier == dossier]
    if item is not None:
        own.append(Assignment.item == item)
    session.execute(update(Assignment).where(*own).values(place=Assignment.place))
    rows = (
        select(Assignment, StoredReading)
        .select_from(Assignment)
        .outerjoin(StoredReading)
        .where(*own)
        .order_by(Assignment.place)
        .execution_options(populate_existing=True)
    )
    return [Task(one, reading) for one, reading in session.execute(rows)]


def find_task(database: Database, user: User, dossier: str, item: str) -> Task | None:
    """A person's own task; None if the item is not this person's to read."""
    with database.begin() as session:
        own = _of(user, dossier).where(Assignment.item == item)
        assignment = session.scalar(own)
        if assignment is None:
            return None
        return Task(assignment, session.get(StoredReading, assignment.id))


def open_task(database: Database, task: Task) -> None:
    """Note when the person first saw the item."""
    if task.assignment.opened is None:
        with database.begin() as session:
            session.merge(task.assignment).opened = utc_now()


def list_all(database: Database, dossier: str) -> list[tuple[User, Task]]:
    """Everybody's tasks of a dossier; for its lead."""
    rows = (
        select(User, Assignment, StoredReading)
        .select_from(Assignment)
        .join(User)
        .outerjoin(StoredReading)
        .where(Assignment.dossier == dossier)
        .order_by(User.name, Assignment.place)
    )
    with database.begin() as session:
        return [(user, Task(*rest)) for user, *rest in session.execute(rows)]


def _of(user: User, dossier: str) -> Select[tuple[Assignment]]:
    return select(Assignment).where(
        Assignment.user_id == user.id, Assignment.dossier == dossier
    )
