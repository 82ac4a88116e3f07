"""Adjudication: gives an item on which readers disagree to somebody who is neither."""

import random
from collections import Counter

from segpipe.approval.chain.folder import turn
from segpipe.approval.chain.verification import Verified
from segpipe.approval.protocol import Protocol
from segpipe.approval.use import fault_of_trainer
from segpipe.review.accounts.assignments import Task, assign, list_all
from segpipe.review.accounts.database import Database
from segpipe.review.accounts.tables import User
from segpipe.review.accounts.users import list_users, person_of
from segpipe.review.dossier import Key
from segpipe.review.items.blinding import dice
from segpipe.review.shelf import Volume
from segpipe.review.work.readings import Readings, read_signed

PURPOSE = "adjudicate"


def adjudicate(
    database: Database,
    volume: Volume,
    key: Key,
    chain: Verified,
    protocol: Protocol | None,
) -> list[str]:
    """Assign each item that waits for an adjudicator to one.

    To be called after a signature, and not within its turn of the chain. An item for
    which there is nobody keeps waiting: the lead's page and ``segpipe review status``
    name it, and ``segpipe review assign`` tries again. Nobody is told anything: the
    adjudicator sees one more case in the own queue.

    Args:
        database: The accounts.
        volume: The dossier.
        key: What its items are in truth.
        chain: The records, with the signature that may have completed an item.
        protocol: review.yaml; none if there is none, and then nobody adjudicates.

    Returns:
        The items that are new to somebody; neither they nor their number are shown to
        readers.
    """
    given: list[str] = []
    if protocol is None:
        return given
    with turn(chain.root):
        readings = read_signed(volume, key, chain, protocol)
        tasks = list_all(database, volume.digest)
        for item in waiting(readings, tasks):
            people = _allowed(item, readings, tasks, database)
            if not people:
                continue
            user, digest = _choose(people, tasks, dice), volume.digest
            assign(database, user, dossier=digest, items=[item], purpose=PURPOSE)
            tasks = list_all(database, volume.digest)
            given.append(item)
    return given


def waiting(readings: Readings, tasks: list[tuple[User, Task]]) -> list[str]:
    """Items on which readers disagree and that nobody has who may adjudicate them."""
    roster = readings.chain.roster
    taken = {
        task.assignment.item
        for user, task in tasks
        if task.assignment.purpose == PURPOSE and person_of(user, roster)
    }
    return [
        item
        for item in readings.items
        if item not in taken and readings.needs_adjudicator(item)
    ]


def _allowed(
    item: str, readings: Readings, tasks: list[tuple[User, Task]], database: Database
) -> list[User]:
    """Adjudicators who did not read the item, are not to, and did not train it."""
    busy = {user.name for user, task in tasks if task.assignment.item == item}
    busy |= readings.items[item].readers
    subject, protocol = readings.volume.dossier.subject, readings.protocol
    return [
        user
        for user in list_users(database)
        if user.name not in busy
        and (person := person_of(user, readings.chain.roster)) is not None
        and "adjudicator" in person.roles
        and not fault_of_trainer(person, subject, protocol)
    ]


def _choose(
    people: list[User], tasks: list[tuple[User, Task]], dice: random.Random
) -> User:
    """One of those who have the fewest items to adjudicate."""
    load = Counter(
        user.id for user, task in tasks if task.assignment.purpose == PURPOSE
    )
    fewest = min(load[user.id] for user in people)
    return dice.choice([user for user in people if load[user.id] == fewest])
