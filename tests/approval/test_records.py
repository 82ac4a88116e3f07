"""What is signed has one layout, and may grow without old signatures ending."""

import hashlib
import json

import pytest
from pydantic import ValidationError

from segpipe.approval.records import (
    Enrolment,
    Record,
    Revocation,
    fingerprint_of,
    render,
    signed_bytes,
)
from tests.support.reviews import DIGEST, decision

DOCUMENT = {
    "format_version": 1,
    "number": 1,
    "previous": DIGEST,
    "time": "2026-11-26T11:12:46Z",
    "signer": "lea",
    "printed_name": "Dr Léa",
    "role": "lead",
    "key": DIGEST,
    "content": {"kind": "revocation", "name": "rob", "reason": "has left"},
    "signature": "0" * 128,
}


def test_a_record_is_read_as_it_is_written() -> None:
    record = Record.model_validate_json(json.dumps(DOCUMENT))

    assert record.model_dump(mode="json") == DOCUMENT
    assert isinstance(record.content, Revocation)


def test_the_signature_covers_every_value_but_itself() -> None:
    before = signed_bytes(DOCUMENT)

    for key in DOCUMENT:
        changed = signed_bytes({**DOCUMENT, key: "another"})
        assert (changed == before) == (key == "signature")
    assert signed_bytes({**DOCUMENT, "new": 1}) != before
    assert signed_bytes(dict(reversed(DOCUMENT.items()))) == before


def test_a_file_is_readable_for_people() -> None:
    assert '"printed_name": "Dr Léa",\n' in render(DOCUMENT).decode()


@pytest.mark.parametrize(
    "change",
    [
        {"number": 0},
        {"time": "2026-11-26T11:12:46"},
        {"signer": "../lea"},
        {"role": "king"},
        {"more": 1},
        {"content": {"kind": "gift"}},
        {"signature": "0" * 127},
    ],
)
def test_what_is_no_record_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Record.model_validate_json(json.dumps(DOCUMENT | change))


def test_a_decision_needs_meaning_and_reason() -> None:
    with pytest.raises(ValidationError):
        decision(reason="")
    with pytest.raises(ValidationError):
        Enrolment(name="rob", printed_name="R", roles=(), public_key=DIGEST)


def test_a_key_is_named_by_its_digest() -> None:
    assert fingerprint_of("00" * 32) == hashlib.sha256(bytes(32)).hexdigest()
