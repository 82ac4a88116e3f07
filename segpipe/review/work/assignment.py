"""Assignment: gives the items of a dossier to its readers, as review.yaml asks."""

from collections.abc import Sequence

from segpipe.approval.chain.signing import expect_person
from segpipe.approval.people import Person
from segpipe.approval.records import Subject
from segpipe.approval.use import Court, fault_of_trainer
from segpipe.project.errors import DataError
from segpipe.review.accounts.assignments import assign, list_all, list_tasks
from segpipe.review.accounts.database import Database
from segpipe.review.accounts.users import find_user, person_of
from segpipe.review.dossier import Key, read_key
from segpipe.review.items.blinding import dice
from segpipe.review.shelf import Volume
from segpipe.review.work.adjudication import adjudicate
from segpipe.review.work.readings import read_signed
from segpipe.review.work.sharing import Deal, describe_lack, order_queue, share

PURPOSE = "read"


def assign_readers(
    volume: Volume, names: Sequence[str], court: Court, database: Database
) -> list[str]:
    """Give each item of a dossier its readers; what somebody has stays.

    Items of people who left before they read them go to others. Where signed readings
    disagree and nobody has the item, an adjudicator gets it.

    Args:
        volume: The dossier.
        names: Who may read; empty: everybody with the role reader.
        court: The records and review.yaml.
        database: The accounts.

    Returns:
        A line for each reader, and for each person who was left out.

    Raises:
        DataError: If a named person may not read it or cannot log in, or there are too
            few readers.
    """
    chain, protocol = court.chain, court.protocol
    key = read_key(volume.folder)
    readers, lines = _choose_readers(names, volume.dossier.subject, court)
    users = {name: find_user(database, name, chain.roster)[0] for name in readers}
    taken = _taken(volume, key, court, database)
    everybody = sorted({*readers, *(one for who in taken.values() for one in who)})
    if len(everybody) < protocol.readers.per_case:
        raise DataError(describe_lack(protocol.readers.per_case, everybody))
    deal = _deal(volume, key)
    per_case = protocol.readers.per_case
    fresh = share(deal, readers, per_case=per_case, taken=taken, dice=dice)
    for name, items in fresh.items():
        tasks = list_tasks(database, users[name], volume.digest)
        before = [task.assignment.item for task in tasks]
        queue = order_queue(before, items, deal.repeats, dice=dice)
        digest = volume.digest
        assign(database, users[name], dossier=digest, items=queue, purpose=PURPOSE)
        count = len(before) + len(queue)
        lines.append(f"{name}: {len(queue)} new, {count} of {len(volume.items)} cases")
    adjudicate(database, volume, key, chain, protocol)
    return lines


def _deal(volume: Volume, key: Key) -> Deal:
    shown = {item: key.items[item] for item in volume.items}
    return Deal(
        items=[i for i, one in shown.items() if one.stratum in ("worst", "random")],
        repeats={i: one.repeats for i, one in shown.items() if one.repeats},
        controls=[i for i, one in shown.items() if one.stratum == "control"],
    )


def _choose_readers(
    names: Sequence[str], subject: Subject, court: Court
) -> tuple[list[str], list[str]]:
    """Who may read, and a line for each person who may not though nobody named him."""
    people = court.chain.roster.active
    if not names:
        own = [n for n, one in people.items() if "reader" in one.roles]
        barred = {n: _fault_of(people[n], subject, court) for n in own}
        lines = [f"left out: {fault}" for fault in barred.values() if fault]
        return [n for n in own if not barred[n]], lines
    for name in names:
        expect_person(name, court.chain.roster)
        if fault := _fault_of(people[name], subject, court):
            raise DataError(fault)
    return list(dict.fromkeys(names)), []


def _fault_of(person: Person, subject: Subject, court: Court) -> str | None:
    """Why somebody may not read a version."""
    if "reader" not in person.roles:
        return (
            f"{person.name}: expected the role reader, found "
            f"{', '.join(person.roles)}; name another person"
        )
    return fault_of_trainer(person, subject, court.protocol)


def _taken(
    volume: Volume, key: Key, court: Court, database: Database
) -> dict[str, set[str]]:
    """Item to those who read it, or have it to read and still can."""
    readings = read_signed(volume, key, court.chain, court.protocol)
    taken = {item: said.readers for item, said in readings.items.items()}
    for user, task in list_all(database, volume.digest):
        own, person = task.assignment, person_of(user, court.chain.roster)
        if own.purpose == PURPOSE and own.item in taken and person is not None:
            taken[own.item].add(user.name)
    return taken
