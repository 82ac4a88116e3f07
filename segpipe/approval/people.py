"""People: who may sign what, as the chain itself says up to a record.

The first record enrols an admin by the admin's own key; every later key is enrolled and
revoked by a record that an admin signed. So whoever adds a key or a role to the folder
has to sign, and a revoked key ends at a place in the chain, whatever a clock says.
"""

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from segpipe.approval.records import (
    ALLOWED,
    Enrolment,
    Record,
    Revocation,
    Role,
    fingerprint_of,
)


def plain(name: str) -> str:
    """A name as it is compared: in small letters, however accents and spaces are coded.

    Source:
        Unicode Standard Annex 15: NFKC, after case folding.
    """
    folded = unicodedata.normalize("NFKC", name).casefold()
    return " ".join(unicodedata.normalize("NFKC", folded).split())


@dataclass(frozen=True)
class Person:
    """Somebody with a key.

    Attributes:
        name: Name of the key.
        printed_name: The name for people.
        roles: What the person may do.
        public_key: The public key, in hexadecimal.
        known_as: Other names: of the account on the machine, e-mail in git.
        enrolled: Number of the record that enrolled the key.
        since: Time of that record.
        revoked: Number of the record that revoked the key; none while it may sign.
        until: Time of that record.
    """

    name: str
    printed_name: str
    roles: tuple[Role, ...]
    public_key: str
    known_as: tuple[str, ...]
    enrolled: int
    since: datetime
    revoked: int | None = None
    until: datetime | None = None

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the public key."""
        return fingerprint_of(self.public_key)

    @property
    def names(self) -> set[str]:
        """All names by which the person is known, as ``plain`` writes them."""
        return {plain(one) for one in (self.name, self.printed_name, *self.known_as)}

    def is_among(self, names: Iterable[str]) -> bool:
        """Whether one of some names is this person's."""
        return bool(self.names & {plain(one) for one in names})


@dataclass(frozen=True)
class Roster:
    """The people of a chain up to a record.

    Attributes:
        keys: Each key that was ever enrolled, by its fingerprint.
    """

    keys: Mapping[str, Person] = field(default_factory=dict)

    @property
    def active(self) -> dict[str, Person]:
        """Who may sign, by name."""
        return {one.name: one for one in self.keys.values() if one.revoked is None}

    def signer_of(self, record: Record) -> Person | None:
        """Whose key a record names; of a first record that enrols itself, its own."""
        content = record.content
        if record.number == 1 and isinstance(content, Enrolment):
            return _enrolled(record, content)
        return self.keys.get(record.key)

    def fault_of(self, record: Record) -> str | None:
        """Why a person may not have signed a record; none if it is right."""
        signer = self.signer_of(record)
        if signer is None:
            return f"is signed by the unknown key {record.key[:12]} of {record.signer}"
        if signer.fingerprint != record.key or signer.name != record.signer:
            return f"names the signer {record.signer}, but the key of {signer.name}"
        if signer.revoked is not None:
            return (
                f"is signed by the key of {signer.name}, which record {signer.revoked} "
                "had revoked"
            )
        if record.printed_name != signer.printed_name:
            return (
                f"prints the name {record.printed_name}, but {signer.name} is "
                f"{signer.printed_name}"
            )
        if record.role not in signer.roles:
            return f"is signed as {record.role}, which {signer.name} is not"
        kind = record.content.kind
        if record.role not in ALLOWED[kind]:
            allowed = " or ".join(ALLOWED[kind])
            return (
                f"is signed by a {record.role}, but only {allowed} may sign a record "
                f"of the kind {kind}"
            )
        return self._fault_of_change(record)

    def _fault_of_change(self, record: Record) -> str | None:
        """Why an enrolment or revocation is wrong."""
        content = record.content
        if isinstance(content, Enrolment):
            if content.name in self.active:
                return f"enrols {content.name} again, whose key is not revoked"
            if fingerprint_of(content.public_key) in self.keys:
                return f"enrols a key for {content.name} that was enrolled before"
        elif isinstance(content, Revocation):
            if content.name not in self.active:
                return f"revokes the key of {content.name}, who has none"
            admins = {n for n, one in self.active.items() if "admin" in one.roles}
            if admins == {content.name}:
                return f"revokes {content.name}, the last admin; add another one first"
        return None

    def after(self, record: Record) -> "Roster":
        """The people after a right record."""
        content, keys = record.content, dict(self.keys)
        if isinstance(content, Enrolment):
            one = _enrolled(record, content)
            keys[one.fingerprint] = one
        elif isinstance(content, Revocation):
            old = self.active[content.name]
            keys[old.fingerprint] = replace(
                old, revoked=record.number, until=record.time
            )
        return Roster(keys)


def _enrolled(record: Record, content: Enrolment) -> Person:
    return Person(
        name=content.name,
        printed_name=content.printed_name,
        roles=content.roles,
        public_key=content.public_key,
        known_as=content.known_as,
        enrolled=record.number,
        since=record.time,
    )
