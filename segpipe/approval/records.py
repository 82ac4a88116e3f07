"""Records: what is signed, as typed JSON documents, and the bytes that are signed.

A record is one act of one person: a reading, a decision, a promotion, a key that was
given or revoked. Its signature covers the document as it is written and not as this
module understands it, so a later version may add keys and still verify old records.
"""

import hashlib
import json
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import (
    AwareDatetime,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveInt,
    StringConstraints,
)

from segpipe.project.documents import Document, is_empty

FIRST = "0" * 64  # stands for the record before the first
LIMIT_BYTES = 1_000_000  # of one record; a decision on 500 cases has about 300,000
DOMAIN = b"segpipe review record 1\n"  # no other signature of the same key fits
NAME = r"^[a-z][a-z0-9._-]{0,31}$"

Role = Literal["reader", "adjudicator", "lead", "admin"]
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Name = Annotated[str, StringConstraints(pattern=NAME)]
Line = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=4000)]
Comment = Annotated[str, StringConstraints(max_length=4000)]
Score = Annotated[int, Field(ge=1, le=4)]
Shown = Literal["candidate", "champion", "reference"]


class Subject(Document):
    """The version of a segmenter that a record is about.

    Attributes:
        name: Name of the registered model.
        version: Number of the version.
        segmenter: Digest of its spec and weights; this alone is what is approved.
        data: MD5 by which DVC knows the data; none without DVC.
        code: Digest of the segpipe that registered it; none if it is not known.
        trainers: Names by which the people are known who trained it; empty if unknown.
    """

    name: Line
    version: Line
    segmenter: Digest
    data: str | None
    code: str | None
    trainers: tuple[Line, ...]


class Enrolment(Document):
    """A person gets a key and roles."""

    kind: Literal["enrolment"] = "enrolment"
    name: Name
    printed_name: Line
    roles: Annotated[tuple[Role, ...], Field(min_length=1)]
    public_key: Digest  # 32 bytes of ed25519
    known_as: tuple[Line, ...] = Field((), exclude_if=is_empty)


class Revocation(Document):
    """A key signs nothing more from this record on, whatever time is claimed."""

    kind: Literal["revocation"] = "revocation"
    name: Name
    reason: Text


class Rating(Document):
    """How good one structure of one mask is.

    Attributes:
        score: 1 unacceptable, 2 major correction, 3 minor correction, 4 as it is; none:
            it cannot be judged.
        artefact: Whether the image shows an artefact there.
        comment: The reader's words.
    """

    score: Score | None
    artefact: bool
    comment: Comment


class Seen(Document):
    """What a person was shown of one case, and for how long.

    Attributes:
        subject: The version under review.
        protocol: Digest of review.yaml.
        case: Opaque id under which the case was shown.
        images: SHA-256 of each image by channel.
        masks: SHA-256 of each mask by its letter.
        shown: What each letter stood for; the person did not know it.
        seconds: Time at work on the case, without idle time.
    """

    subject: Subject
    protocol: Digest
    case: Line
    images: dict[str, Digest]
    masks: dict[str, Digest]
    shown: dict[str, Shown]
    seconds: NonNegativeFloat


class Reading(Seen):
    """One reader's ratings of one case: letter, structure, rating."""

    kind: Literal["reading"] = "reading"
    stratum: Literal["worst", "random", "repeat", "control"]
    ratings: dict[str, dict[str, Rating]]


class Adjudication(Seen):
    """The rating that counts where readers disagree."""

    kind: Literal["adjudication"] = "adjudication"
    readings: tuple[PositiveInt, ...]  # numbers of the records that disagree
    ratings: dict[str, dict[str, Rating]]


class Correction(Document):
    """A mask that a person changed.

    Attributes:
        subject: The version under review.
        case: Opaque id of the case.
        purpose: A new version of the reference, or a case for the next training.
        before: SHA-256 of the mask that was changed.
        after: SHA-256 of the result.
        added_path_mm: Length of contour that was drawn anew.
        changed_ml: Volume of the voxels that changed, by structure.
        added_path_px: The same of images without a physical spacing.
        changed_px: The same, in voxels.
        comment: The person's words.
    """

    kind: Literal["correction"] = "correction"
    subject: Subject
    case: Line
    purpose: Literal["reference", "training"]
    before: Digest
    after: Digest
    added_path_mm: NonNegativeFloat | None
    changed_ml: dict[str, NonNegativeFloat]
    added_path_px: NonNegativeFloat | None = Field(None, exclude_if=is_empty)
    changed_px: dict[str, NonNegativeFloat] = Field({}, exclude_if=is_empty)
    comment: Comment = Field("", exclude_if=lambda words: not words)


class Decision(Document):
    """What a person decides about a version, and on what it rests.

    Attributes:
        subject: The version.
        protocol: Digest of review.yaml.
        decision: Approve, reject, or withdraw an earlier approval.
        meaning: What the signature means, in a sentence.
        reason: Why.
        readings: Numbers of the readings, adjudications and corrections that it rests
            on.
        cases: Opaque ids of the cases.
        images: SHA-256 of the images seen, sorted.
        masks: SHA-256 of the masks seen, sorted.
        ratings: How often each score was given to the candidate; "none" for structures
            that could not be judged.
        seconds: Time of all readings together.
        expires: When an approval ends; none: never.
        promote: Whether an approval that is complete makes the version the champion.
    """

    kind: Literal["decision"] = "decision"
    subject: Subject
    protocol: Digest
    decision: Literal["approve", "reject", "withdraw"]
    meaning: Text
    reason: Text
    readings: tuple[PositiveInt, ...]
    cases: tuple[Line, ...]
    images: tuple[Digest, ...]
    masks: tuple[Digest, ...]
    ratings: dict[str, NonNegativeInt]
    seconds: NonNegativeFloat
    expires: AwareDatetime | None
    promote: bool


class Promotion(Document):
    """A version becomes the champion; ``before`` was it until now, if there was one."""

    kind: Literal["promotion"] = "promotion"
    subject: Subject
    act: Literal["promote", "rollback"]
    before: str | None
    reason: Text


class Emergency(Document):
    """A version becomes the champion without the approvals, for a short time."""

    kind: Literal["emergency"] = "emergency"
    subject: Subject
    before: str | None
    meaning: Text
    reason: Text
    expires: AwareDatetime


class AnchorNote(Document):
    """Where the head of the chain was written down outside of it."""

    kind: Literal["anchor"] = "anchor"
    place: Line
    head: PositiveInt
    digest: Digest


Content: TypeAlias = (
    Enrolment
    | Revocation
    | Reading
    | Adjudication
    | Correction
    | Decision
    | Promotion
    | Emergency
    | AnchorNote
)
# The roles of which a signer needs one, by the kind of the record; the first that the
# signer has is stated.
ALLOWED: dict[str, tuple[Role, ...]] = {
    "enrolment": ("admin",),
    "revocation": ("admin",),
    "reading": ("reader", "adjudicator", "lead"),
    "adjudication": ("adjudicator",),
    "correction": ("reader", "adjudicator", "lead"),
    "decision": ("lead", "adjudicator", "reader"),
    "promotion": ("lead", "admin"),
    "emergency": ("lead", "admin"),
    "anchor": ("admin", "lead"),
}


class Record(Document):
    """A signed record: reviews/records/NUMBER.json.

    Attributes:
        format_version: Version of this document's format.
        number: Place in the chain, from 1.
        previous: SHA-256 of the bytes of the record before; FIRST for number 1.
        time: When it was signed, in UTC, by the clock of the machine.
        signer: Who signed, by the name of the key.
        printed_name: The signer's name for people.
        role: The role in which the signer acted.
        key: Fingerprint of the signer's key.
        content: What is signed.
        signature: Ed25519, in hexadecimal.
    """

    format_version: Literal[1]
    number: PositiveInt
    previous: Digest
    time: AwareDatetime
    signer: Name
    printed_name: Line
    role: Role
    key: Digest
    content: Annotated[Content, Field(discriminator="kind")]
    signature: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{128}$")]


def render(document: dict[str, Any]) -> bytes:
    """The bytes of a record's file; another layout of the same values is refused."""
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
    return f"{text}\n".encode()


def signed_bytes(document: dict[str, Any]) -> bytes:
    """The bytes that are signed: all values but the signature, in one fixed layout."""
    rest = {name: value for name, value in document.items() if name != "signature"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return DOMAIN + text.encode()


def fingerprint_of(public_key: str) -> str:
    """SHA-256 of a public key, by which records name it."""
    return hashlib.sha256(bytes.fromhex(public_key)).hexdigest()
