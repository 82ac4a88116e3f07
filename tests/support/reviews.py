"""A chain of signed records, and forgeries of one, for the tests of several modules."""

import hashlib
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

from segpipe.approval import keys
from segpipe.approval.chain.folder import record_path
from segpipe.approval.chain.signing import add_person, append, revoke_person
from segpipe.approval.policy import utc_now
from segpipe.approval.protocol import protocol_file, write_protocol
from segpipe.approval.records import (
    FIRST,
    Content,
    Decision,
    Emergency,
    Promotion,
    Rating,
    Reading,
    Record,
    Role,
    Subject,
    fingerprint_of,
    render,
    signed_bytes,
)

CHEAP = 2**4  # the cost of a guess of a password, which the tests need not pay
PEOPLE: dict[str, tuple[Role, ...]] = {
    "ann": ("admin",),
    "lea": ("lead", "reader"),
    "rob": ("reader",),
    "ray": ("reader",),
    "max": ("lead",),
}
DIGEST, OTHER = "a" * 64, "b" * 64


def password_of(name: str) -> str:
    return f"four random words {name.encode().hex()}"


def write_people(root: Path) -> None:
    """Records 1 to 5: an admin, two leads, two readers."""
    keys.COST = CHEAP
    for name, roles in PEOPLE.items():
        by = None if name == "ann" else ("ann", password_of("ann"))
        known = ("tom@lab",) if name == "max" else ()
        printed, secret = f"Dr {name.title()}", password_of(name)
        add_person(name, printed, roles, secret, root, known_as=known, by=by)


def write_policy(root: Path, **changed: str) -> None:
    """review.yaml that asks for an approval; values of the policy by their key."""
    protocol_file(root).unlink(missing_ok=True)
    write_protocol(root)
    text = protocol_file(root).read_text().replace("require: false", "require: true")
    lines = [
        f"  {key}: {changed[key]}"
        if (key := line.strip().split(":")[0]) in changed and line.startswith("  ")
        else line
        for line in text.splitlines()
    ]
    protocol_file(root).write_text("\n".join(lines) + "\n")


def subject(digest: str = DIGEST, version: str = "3", **more: Any) -> Subject:
    words = {"data": "d", "code": None, "trainers": ("eve",)} | more
    return Subject(name="liver", version=version, segmenter=digest, **words)


def decision(
    about: Subject | None = None, what: Any = "approve", **more: Any
) -> Decision:
    words: dict[str, Any] = {
        "reason": "all 30 cases are acceptable",
        "readings": (),
        "cases": (),
        "expires": utc_now().replace(microsecond=0) + timedelta(days=365),
        "promote": False,
    } | more
    return Decision(
        subject=about or subject(),
        protocol=OTHER,
        decision=what,
        meaning="I have reviewed it and find it fit for use",
        images=(DIGEST,),
        masks=(OTHER,),
        ratings={"3": 20, "4": 40},
        seconds=900.5,
        **words,
    )


def reading(case: str = "c1", about: Subject | None = None) -> Reading:
    rating = Rating(score=4, artefact=False, comment="")
    return Reading(
        subject=about or subject(),
        protocol=OTHER,
        case=case,
        images={"CT": DIGEST},
        masks={"A": OTHER, "B": DIGEST},
        shown={"A": "champion", "B": "candidate"},
        seconds=31.5,
        stratum="random",
        ratings={"A": {"liver": rating}, "B": {"liver": rating}},
    )


def promotion(about: Subject | None = None, act: Any = "promote") -> Promotion:
    why = "finer vessels"
    return Promotion(subject=about or subject(), act=act, before=None, reason=why)


def emergency(about: Subject | None = None, hours: float = 72) -> Emergency:
    return Emergency(
        subject=about or subject(),
        before=None,
        meaning="I take the risk for the next patients",
        reason="the champion fails on the new scanner",
        expires=utc_now().replace(microsecond=0) + timedelta(hours=hours),
    )


def signed(content: Content, by: str, root: Path) -> Record:
    return append(content, by, password_of(by), root)


def write_chain(root: Path) -> None:
    """Twelve records: five people, four readings, a decision, a revocation, its end."""
    write_people(root)
    write_policy(root)
    for case in ("c1", "c2"):
        for name in ("rob", "ray"):
            signed(reading(case), name, root)
    signed(decision(readings=(6, 7, 8, 9), cases=("c1", "c2")), "lea", root)
    revoke_person("ray", "has left", "ann", password_of("ann"), root)
    signed(promotion(), "lea", root)


def document(root: Path, number: int) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(record_path(root, number).read_bytes())
    return found


def put(root: Path, number: int, values: dict[str, Any]) -> None:
    record_path(root, number).write_bytes(render(values))


def digest_of(root: Path, number: int) -> str:
    content = record_path(root, number).read_bytes()
    return hashlib.sha256(content).hexdigest()


def forge(
    root: Path, number: int, content: Content, by: str, role: Role, **more: Any
) -> None:
    """Sign any record with a person's key, as a thief of key and password could."""
    key = keys.read_key(by, root)
    previous = digest_of(root, number - 1) if number > 1 else FIRST
    record = Record(
        format_version=1,
        number=number,
        previous=previous,
        time=utc_now().replace(microsecond=0),
        signer=by,
        printed_name=f"Dr {by.title()}",
        role=role,
        key=fingerprint_of(key.public_key),
        content=content,
        signature="0" * 128,
    )
    values = record.model_dump(mode="json") | more
    sign = keys.unlock(key, password_of(by))
    values["signature"] = sign(signed_bytes(values))
    put(root, number, values)
