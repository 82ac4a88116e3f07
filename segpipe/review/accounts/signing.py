"""Signing: what a reader said becomes records of the chain, and is then marked here.

The records come first. A process that is killed before the marks has lost nothing: the
next look at the queue, and the next signing, find the record and only mark it. The same
mends marks that do not fit because a backup of the database or of the chain was put
back: what a reader signed is what the chain holds.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from segpipe.approval.chain.signing import append_all
from segpipe.approval.chain.verification import Verified
from segpipe.approval.chain.watched import Watched
from segpipe.approval.keys import WrongPasswordError, key_path
from segpipe.approval.policy import utc_now
from segpipe.approval.protocol import Protocol
from segpipe.approval.records import Adjudication, Rating, Reading, Record
from segpipe.approval.use import fault_of_trainer
from segpipe.project.errors import DataError
from segpipe.project.fingerprint import digest_json
from segpipe.review.accounts.assignments import (
    Reader,
    Task,
    list_tasks,
    lock_tasks,
)
from segpipe.review.accounts.database import Database
from segpipe.review.accounts.tables import StoredReading
from segpipe.review.dossier import Item, Key, mask_name, read_key
from segpipe.review.shelf import Volume

CHANGED = (
    "Your readings changed since this page was shown, as in another window: look "
    "again. Nothing was signed."
)


class UnsignedError(DataError):
    """The reason why nothing was signed, in words that the reader may see."""


def sign_readings(
    database: Database,
    reader: Reader,
    password: str,
    chain: Watched,
    protocol: Protocol | None,
    *,
    shown: str,
) -> list[Record]:
    """Sign what a person said of a dossier so far, each reading as its own record.

    Args:
        database: The accounts.
        reader: Who signs.
        password: The password, which was asked for again and is that of the login.
        chain: The records.
        protocol: review.yaml; none if there is none.
        shown: Digest of the readings that the person was shown to sign.

    Raises:
        UnsignedError: If other readings are stored than were shown, the person trained
            the version, the key is not here or has another password, or nothing was
            signed that is to be adjudicated.
        DataError: If the chain or the dossier is broken.
    """
    with database.begin() as session:
        locked = lock_tasks(session, reader.user, reader.volume.digest)
        stored, count = digest_unsigned(locked), sum(one.is_unsigned for one in locked)
        tasks = _match(session, locked, reader, chain)
        if not tasks:
            return []
        if stored != shown or len(tasks) > count:
            raise UnsignedError(CHANGED)
        key = read_key(reader.volume.folder)
        records = [_build(task, reader, key, chain.read()) for task in tasks]
        signed = _append(records, reader, password, chain.root, protocol)
        for task, record in zip(tasks, signed, strict=True):
            assert task.reading is not None, record.number
            _mark(task.reading, record)
    return signed


def match_chain(database: Database, reader: Reader, chain: Watched) -> list[Task]:
    """A person's tasks of a dossier, marked as signed where the chain holds them."""
    digest = reader.volume.digest
    tasks, known = list_tasks(database, reader.user, digest), chain.read()
    if not _find_strange(tasks, _find_signed(reader, known)):
        return tasks
    with database.begin() as session:
        _match(session, lock_tasks(session, reader.user, digest), reader, chain)
    return list_tasks(database, reader.user, digest)


def digest_unsigned(tasks: Sequence[Task]) -> str:
    """SHA-256 of the readings that wait for a signature, in the order of the tasks.

    A page that shows them hands it back, so that nothing else is signed.
    """
    return digest_json(
        [
            [one.assignment.item, one.reading.ratings]
            for one in tasks
            if one.reading is not None and one.is_unsigned
        ]
    )


def _match(
    session: Session, tasks: list[Task], reader: Reader, chain: Watched
) -> list[Task]:
    """Mark what the chain holds, and nothing else; returns what waits to be signed.

    The chain is read once nobody else can sign these tasks, and not before.
    """
    known = _find_signed(reader, chain.read())
    for task in _find_strange(tasks, known):
        record, row = known.get(task.assignment.item), task.reading
        if record is not None:
            row = row or StoredReading(assignment_id=task.assignment.id, made=utc_now())
            _mark(row, record)
            session.add(row)
        elif row is not None:
            row.signed = row.record = None
    return [
        task for task in tasks if task.is_unsigned and task.assignment.item not in known
    ]


def _find_strange(tasks: list[Task], known: dict[str, Record]) -> list[Task]:
    """Tasks whose marks are not those of the chain."""
    marks = {
        task.assignment.item: task.reading.record if task.reading else None
        for task in tasks
    }
    held = {item: record.number for item, record in known.items()}
    return [
        task
        for task in tasks
        if marks[task.assignment.item] != held.get(task.assignment.item)
    ]


def _find_signed(reader: Reader, chain: Verified) -> dict[str, Record]:
    """The records of a person on the items of a dossier."""
    items = reader.volume.items
    return {
        record.content.case: record
        for record in chain.records
        if isinstance(record.content, Reading | Adjudication)
        and record.signer == reader.person.name
        and record.content.case in items
        and record.content.subject.segmenter == reader.volume.dossier.segmenter
    }


def _mark(row: StoredReading, record: Record) -> None:
    """Store the number of a record, and what it says: that is what counts."""
    content = record.content
    assert isinstance(content, Reading | Adjudication), record.number
    row.ratings = content.model_dump(mode="json")["ratings"]
    row.seconds, row.signed, row.record = content.seconds, record.time, record.number


def _append(
    contents: list[Reading | Adjudication],
    reader: Reader,
    password: str,
    root: Path,
    protocol: Protocol | None,
) -> list[Record]:
    name = reader.person.name
    fault = fault_of_trainer(reader.person, reader.volume.dossier.subject, protocol)
    if fault is not None:
        raise UnsignedError(fault)
    if not key_path(root, name).is_file():
        raise UnsignedError(
            "Your key is not on this server: copy .reviews/keys/ there from the "
            "machine that has it. Nothing was signed."
        )
    try:
        return append_all(contents, name, password, root)
    except WrongPasswordError as error:
        raise UnsignedError(
            "The password of your login is not that of your key: `segpipe review users "
            f"password {name}` makes them one. Nothing was signed."
        ) from error


def _build(
    task: Task, reader: Reader, key: Key, chain: Verified
) -> Reading | Adjudication:
    """The record of what a person said of an item, and of what was shown."""
    volume, row = reader.volume, task.reading
    assert row is not None, task.assignment.id
    item = volume.items[task.assignment.item]
    shown = key.items[item.id]
    seen: dict[str, Any] = {
        "subject": volume.dossier.subject,
        "protocol": volume.dossier.protocol,
        "case": item.id,
        **_digests(volume, item),
        "shown": dict(shown.letters),
        "seconds": row.seconds,
        "ratings": {
            letter: {name: Rating(**one) for name, one in structures.items()}
            for letter, structures in row.ratings.items()
        },
    }
    if task.assignment.purpose == "adjudicate":
        return Adjudication(**seen, readings=_readings_of(item, reader, chain))
    return Reading(**seen, stratum=shown.stratum)


def _digests(volume: Volume, item: Item) -> dict[str, dict[str, str]]:
    """SHA-256 of the images, by their files' names without ending, and of the masks."""
    places, files = volume.files_of(item), volume.dossier.files
    return {
        "images": {
            name.removesuffix(".nii.gz"): files[places[name]] for name in item.shown
        },
        "masks": {one: files[places[mask_name(one)]] for one in item.letters},
    }


def _readings_of(item: Item, reader: Reader, chain: Verified) -> tuple[int, ...]:
    """Numbers of the readings of an item by others, between which is decided."""
    found = tuple(
        record.number
        for record in chain.records
        if isinstance(record.content, Reading)
        and record.content.case == item.id
        and record.content.subject.segmenter == reader.volume.dossier.segmenter
        and record.signer != reader.person.name
    )
    if not found:
        raise UnsignedError(
            f"{item.id}: expected signed readings of this case to decide between, "
            "found none: its readers sign first. Nothing was signed."
        )
    return found
