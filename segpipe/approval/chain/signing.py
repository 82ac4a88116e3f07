"""Signing: sign a record and add it, one after the other whatever process asks.

A signature needs two things, the encrypted key on this machine and the password, which
is asked for again each time (21 CFR 11.200(a)(1)).
"""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

from segpipe.approval.chain.folder import add_link, check_size, turn
from segpipe.approval.chain.verification import Verified, verify
from segpipe.approval.keys import (
    KeyFile,
    check_password,
    make_key,
    read_key,
    set_key_aside,
    unlock,
    write_key,
)
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
        DataError: As ``append_all`` does.
    """
    (record,) = append_all([content], signer, password, root, role=role)
    return record


def append_all(
    contents: Sequence[Content],
    signer: str,
    password: str,
    root: Path,
    *,
    role: Role | None = None,
) -> list[Record]:
    """Sign several records of one person and add them, each a record of its own.

    The chain is verified once and the key decrypted once. A process that is killed has
    added the first of them, in this order, or none or all.

    Args:
        contents: What is signed.
        signer: Name of the signer's key.
        password: Its password, asked for these signatures.
        root: The project's folder.
        role: The role in which the signer acts; by default, for each, the first that
            may.

    Raises:
        DataError: If the chain is broken, the signer has no key or no such role, the
            password is wrong, or a record is too large. Then nothing was added.
    """
    with turn(root):
        chain = verify(root).require_whole()
        person = expect_person(signer, chain.roster)
        hand = _Hand(person, read_key(signer, root), password, role)
        return _add(chain, contents, hand)


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
        DataError: If the name is taken or is none, the password is easily guessed, or
            as ``append`` does.
    """
    check_name(name)
    check_password(password, name)
    printed_name = printed_name.strip()
    if not 1 <= len(printed_name) <= 200 or not printed_name.isprintable():
        raise DataError(
            f"{name}: expected a printed name of 1 to 200 characters in one line, "
            f"found {len(printed_name)}, {ascii(printed_name)[:80]}; it stands in "
            "every record"
        )
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
        if enroller is None:
            own = Person(name, printed_name, roles, key.public_key, known_as, 1, NEVER)
            hand = _Hand(own, key, password, "admin")
        else:
            admin, secret = enroller
            hand = _Hand(admin, read_key(admin.name, root), secret, "admin")
            unlock(hand.key, secret)  # a wrong password replaces no key
        set_key_aside(name, root)
        write_key(key, name, root)  # of no use until the record is there
        return _add(chain, [content], hand)[0]


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
    return expect_person(by[0], chain.roster), by[1]


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


@dataclass(frozen=True)
class _Hand:
    """Who signs, with which key, and in which role; none: the first that may."""

    person: Person
    key: KeyFile
    password: str
    role: Role | None


def _add(chain: Verified, contents: Sequence[Content], hand: _Hand) -> list[Record]:
    """Build records, check them as the verification will, sign them, add them."""
    sign = unlock(hand.key, hand.password)
    number, previous = (
        (0, FIRST) if chain.head is None else (chain.head.number, chain.head.digest)
    )
    now = datetime.now(UTC).replace(microsecond=0)
    # Clocks of machines differ: a record is never older than the one before it.
    time = max([now, *(one.time for one in chain.records[-1:])])
    roster, built = chain.roster, []
    for content in contents:
        number += 1
        record = _build(content, hand, number, previous, time)
        fault = roster.fault_of(record)
        if fault is not None:
            raise DataError(
                f"record {number} {fault}; nothing was signed: `segpipe review users "
                "list` shows who may do what"
            )
        document = record.model_dump(mode="json")
        document["signature"] = sign(signed_bytes(document))
        text = render(document)
        check_size(chain.root, number, text)
        roster, previous = roster.after(record), hashlib.sha256(text).hexdigest()
        built.append((number, text, Record.model_validate_json(json.dumps(document))))
    for number, text, _ in built:
        add_link(chain.root, number, text)
    return [record for _, _, record in built]


def _build(
    content: Content, hand: _Hand, number: int, previous: str, time: datetime
) -> Record:
    """A record without its signature."""
    person = hand.person
    return Record(
        format_version=1,
        number=number,
        previous=previous,
        time=time,
        signer=person.name,
        printed_name=person.printed_name,
        role=hand.role or _choose_role(person.roles, content),
        key=fingerprint_of(hand.key.public_key),
        content=content,
        signature=UNSIGNED,
    )


def _choose_role(roles: tuple[Role, ...], content: Content) -> Role:
    """The first role that may sign such a record; else any, which is then refused."""
    return next((one for one in ALLOWED[content.kind] if one in roles), roles[0])


def expect_person(name: str, roster: Roster) -> Person:
    """The person of a name who may sign.

    Raises:
        DataError: If there is none.
    """
    person = roster.active.get(name)
    if person is not None:
        return person
    known = ", ".join(roster.active) or "nobody"
    revoked = [one for one in roster.keys.values() if one.name == name]
    if revoked:
        raise DataError(
            f"{name}: expected a key that may sign, found that record "
            f"{revoked[-1].revoked} revoked it; an admin adds a new one with `segpipe "
            "review users add`"
        )
    raise DataError(
        f"{name}: expected one of those with a key, {known}, found another name; an "
        "admin adds people with `segpipe review users add`"
    )
