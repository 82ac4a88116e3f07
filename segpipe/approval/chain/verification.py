"""Verification: whether a chain is whole, signed by people who might, and anchored."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from segpipe.approval.chain.anchors import Anchor, faults_of_anchors, faults_of_git
from segpipe.approval.chain.folder import Link, read_links, record_path
from segpipe.approval.keys import is_signed
from segpipe.approval.people import Roster
from segpipe.approval.records import FIRST, Record, render, signed_bytes
from segpipe.project.documents import parse_json, validation_faults
from segpipe.project.errors import DataError


@dataclass(frozen=True)
class Verified:
    """A chain and what is wrong with it.

    Attributes:
        root: The project's folder.
        records: The right records, in order.
        roster: The people whom these records enrol.
        faults: A line for each fault, the first broken link first.
        head: The last record's number and digest; none of an empty chain.
    """

    root: Path
    records: tuple[Record, ...]
    roster: Roster
    faults: tuple[str, ...]
    head: Anchor | None

    def require_whole(self) -> "Verified":
        """The same chain, if nothing is wrong with it.

        Raises:
            DataError: If something is; it names the first broken link.
        """
        if self.faults:
            more = len(self.faults) - 1
            rest = f" ({more} more faults)" if more else ""
            raise DataError(
                f"{self.faults[0]}{rest}; nothing of this chain is believed: "
                "`segpipe review verify` lists all faults, put the files back from git"
            )
        return self


def verify(
    root: Path, anchors: Iterable[Anchor] = (), *, git: bool = False
) -> Verified:
    """Verify signatures, chain and anchors.

    Args:
        root: The project's folder.
        anchors: Digests of records that stand outside of the chain.
        git: Whether all commits of the project are compared, too.

    Raises:
        DataError: If something else lies among the records, or git does not answer.
    """
    links = read_links(root)
    faults: list[tuple[int, str]] = []
    records: list[Record] = []
    roster, previous, expected, time = Roster(), FIRST, 1, None
    for link in links:
        if link.number != expected:
            lacking = _describe_gap(expected, link.number - 1)
            faults.append((expected, f"{lacking} missing before record {link.number}"))
        document, fault = _parse(link)
        record, words = (None, fault) if fault else _understand(document)
        problems = [words] if words else []
        if record is not None:
            problems += _faults_of_place(record, link, previous)
            if time is not None and record.time < time:
                problems.append("is dated before the record before it")
            problems += _faults_of_signature(record, document, roster)
            time = record.time
            if not problems:
                roster = roster.after(record)
                records.append(record)
        faults += [(link.number, one) for one in problems]
        previous, expected = link.digest, link.number + 1
    faults += faults_of_anchors(links, anchors)
    faults += faults_of_git(links, root) if git else []
    lines = [
        f"{record_path(root, number)}: record {number} {words}"
        for number, words in sorted(faults, key=lambda fault: fault[0])
    ]
    head = Anchor("the head", links[-1].number, links[-1].digest) if links else None
    return Verified(root, tuple(records), roster, tuple(dict.fromkeys(lines)), head)


def _describe_gap(first: int, last: int) -> str:
    return "is" if first == last else f"and all up to record {last} are"


def _parse(link: Link) -> tuple[dict[str, Any], str | None]:
    """The JSON of a record's file, or why it is none in the one layout."""
    if link.content is None:
        return {}, link.fault
    try:
        document = parse_json(link.path, link.content)
        if not isinstance(document, dict) or render(document) != link.content:
            return {}, "is not in the layout in which records are written"
    except (DataError, ValueError, RecursionError):
        return {}, "is no JSON"
    return document, None


def _understand(document: dict[str, Any]) -> tuple[Record | None, str | None]:
    try:
        return Record.model_validate_json(json.dumps(document)), None
    except ValidationError as error:
        fault = validation_faults(error, whole="(record)")[0]
        return None, f"is no record of this version of segpipe: {fault}"


def _faults_of_place(record: Record, link: Link, previous: str) -> list[str]:
    if record.number != link.number:
        return [f"says that it is number {record.number}: it was moved"]
    if record.previous != previous:
        return [
            f"follows a record with the digest {record.previous[:12]}, but the one "
            f"before it has {previous[:12]}: that one was changed, or stood elsewhere"
        ]
    return []


def _faults_of_signature(
    record: Record, document: dict[str, Any], roster: Roster
) -> list[str]:
    fault = roster.fault_of(record)
    if fault is not None:
        return [fault]
    signer = roster.signer_of(record)
    assert signer is not None, record.number
    if not is_signed(signer.public_key, record.signature, signed_bytes(document)):
        return [f"is not what {signer.name} signed: it was changed"]
    return []
