"""Signing: sign a record and add it, one after the other whatever process asks.

A signature needs two things, the encrypted key on this machine and the password, which
is asked for again each time (21 CFR 11.200(a)(1)).
"""

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

from segpipe.approval.chain.folder import add_link, turn
from segpipe.approval.chain.verification import Verified, verify
from segpipe.approval.keys import KeyFile, make_key, read_key, sign, write_key
from segpipe.approval.people import Person, Roster
from segpipe.approval.records import (
    ALLOWED,
    FIRST,
    NAME,
    Content,
    Enrolment,
    Record,
    Revocation,
    Role,
    fingerprint_of,
    render,
    signed_bytes,
)
from segpipe.project.errors import DataError

NEVER = datetime.min.replace(tzinfo=UTC)
UNSIGNED = "0" * 128


def append(
    content: Content,
    signer: str,
    password: str,
    root: Path,
    *,
    role: Role | None = None,
) -> Record:
    """Sign a record and add it to a chain that is whole.

    Processes that do so at once come one after the other. A process that is killed has
    added the record or not; there is nothing between.

    Args:
        content: What is signed.
        signer: Name of the signer's key.
        password: Its password, asked for this signature.
        root: The project's folder.
        role: The role in which the signer acts; by default the first that may.

    Raises:
        DataError: If the chain is broken, the signer has no key or no such role, the
            password is wrong, or the record is too large. Then nothing was added.
    """
    with turn(root):
        chain = verify(root).require_whole()
        person = chain.roster.active.get(signer)
        if person is None:
            raise DataError(_describe_stranger(signer, chain.roster))
        key = read_key(signer, root)
        return _add(chain, content, person, key, password, role)


def add_person(
    name: str,
    printed_name: str,
    roles: tuple[Role, ...],
    password: str,
    root: Path,
    *,
    known_as: tuple[str, ...] = (),
    by: tuple[str, str] | None = None,
) -> Record:
    """Make a person's key and enrol it.

    Args:
        name: Name of the key.
        printed_name: The name for people.
        roles: What the person may do.
        password: The person's password.
        root: The project's folder.
        known_as: Other names: of the account on the machine, e-mail in git.
        by: Name and password of the admin who enrols; none for the first person, who
            must be an admin and enrols with the own key.

    Raises:
        DataError: If the name is taken or is none, the password is short, or as
            ``append`` does.
    """
    check_name(name)
    with turn(root):
        chain = verify(root).require_whole()
        if name in chain.roster.active:
            raise DataError(
                f"{name}: expected a name without a key, found one that may sign; "
                "revoke it first, or choose another name"
            )
        enroller = _require_enroller(chain, roles, by)
        key = make_key(password)
        content = Enrolment(
            name=name,
            printed_name=printed_name,
            roles=roles,
            public_key=key.public_key,
            known_as=known_as,
        )
        write_key(key, name, root)  # of no use, and replaced, until the record is there
        if enroller is None:
            own = Person(name, printed_name, roles, key.public_key, known_as, 1, NEVER)
            return _add(chain, content, own, key, password, "admin")
        admin, secret = enroller
        return _add(chain, content, admin, read_key(admin.name, root), secret, "admin")


def _require_enroller(
    chain: Verified, roles: tuple[Role, ...], by: tuple[str, str] | None
) -> tuple[Person, str] | None:
    """The admin who enrols, with the password; none for the first person."""
    if chain.head is None:
        if "admin" not in roles:
            raise DataError(
                "the first person of a chain: expected the role admin among the roles, "
                f"found {', '.join(roles)}; an admin adds the others"
            )
        return None
    if by is None:
        admins = [n for n, one in chain.roster.active.items() if "admin" in one.roles]
        raise DataError(
            f"--by: expected the admin who adds the person, of {', '.join(admins)}, "
            "found none"
        )
    admin = chain.roster.active.get(by[0])
    if admin is None:
        raise DataError(_describe_stranger(by[0], chain.roster))
    return admin, by[1]


def check_name(name: str) -> None:
    """Refuse a name that could be a path, or be taken for another.

    Raises:
        DataError: If it is one.
    """
    if not re.fullmatch(NAME, name):
        raise DataError(
            f"name: expected a letter and then letters, digits, _, . and -, all small "
            f"and at most 32, found {name[:80]!r}; as in ann.smith"
        )


def check_roles(words: Sequence[str]) -> tuple[Role, ...]:
    """The roles of a person, by their names.

    Raises:
        DataError: If one of them is none.
    """
    known: tuple[Role, ...] = get_args(Role)
    for word in words:
        if word not in known:
            raise DataError(
                f"--role: expected {', '.join(known)}, found {word[:40]!r}; a person "
                "may have several"
            )
    return tuple(one for one in known if one in words)


def revoke_person(name: str, reason: str, by: str, password: str, root: Path) -> Record:
    """Revoke a person's key: from this record on it signs nothing more.

    Raises:
        DataError: If the person has no key or is the last admin, or as ``append`` does.
    """
    return append(Revocation(name=name, reason=reason), by, password, root)


def _add(
    chain: Verified,
    content: Content,
    person: Person,
    key: KeyFile,
    password: str,
    role: Role | None,
) -> Record:
    """Build a record, check it as the verification will, sign it, add it."""
    number = 1 if chain.head is None else chain.head.number + 1
    now = datetime.now(UTC).replace(microsecond=0)
    record = Record(
        format_version=1,
        number=number,
        previous=FIRST if chain.head is None else chain.head.digest,
        # Clocks of machines differ: a record is never older than the one before it.
        time=max([now, *(one.time for one in chain.records[-1:])]),
        signer=person.name,
        printed_name=person.printed_name,
        role=role or _choose_role(person.roles, content),
        key=fingerprint_of(key.public_key),
        content=content,
        signature=UNSIGNED,
    )
    fault = chain.roster.fault_of(record)
    if fault is not None:
        raise DataError(
            f"record {number} {fault}; nothing was signed: `segpipe review users list` "
            "shows who may do what"
        )
    document = record.model_dump(mode="json")
    document["signature"] = sign(key, password, signed_bytes(document))
    add_link(chain.root, number, render(document))
    return Record.model_validate_json(json.dumps(document))


def _choose_role(roles: tuple[Role, ...], content: Content) -> Role:
    """The first role that may sign such a record; else any, which is then refused."""
    return next((one for one in ALLOWED[content.kind] if one in roles), roles[0])


def _describe_stranger(name: str, roster: Roster) -> str:
    known = ", ".join(roster.active) or "nobody"
    revoked = [one for one in roster.keys.values() if one.name == name]
    if revoked:
        return (
            f"{name}: expected a key that may sign, found that record "
            f"{revoked[-1].revoked} revoked it; an admin adds a new one with `segpipe "
            "review users add`"
        )
    return (
        f"{name}: expected one of those with a key, {known}, found another name; an "
        "admin adds people with `segpipe review users add`"
    )
