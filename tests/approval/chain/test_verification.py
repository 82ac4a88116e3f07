"""Whatever is done to a chain, the verification finds it and names the first link."""

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from segpipe.approval import keys
from segpipe.approval.chain.anchors import Anchor
from segpipe.approval.chain.folder import record_path
from segpipe.approval.chain.signing import add_person
from segpipe.approval.chain.verification import verify
from segpipe.approval.records import LIMIT_BYTES, Enrolment
from segpipe.project.errors import DataError
from tests.support.reviews import (
    decision,
    digest_of,
    document,
    forge,
    password_of,
    promotion,
    put,
    reading,
    write_chain,
)


def test_a_chain_is_whole_and_its_signatures_are_those_of_another_program(
    root: Path,
) -> None:
    """OpenSSL checks each signature; the digests are those of sha256sum."""
    chain = verify(root)

    assert chain.faults == ()
    assert [one.number for one in chain.records] == list(range(1, 13))
    assert chain.head == Anchor("the head", 12, digest_of(root, 12))
    public = {
        values["content"]["name"]: values["content"]["public_key"]
        for values in (document(root, n) for n in range(1, 6))
    }
    for number in (1, 6, 10, 12):
        values = document(root, number)
        rest = {name: value for name, value in values.items() if name != "signature"}
        text = json.dumps(rest, sort_keys=True, separators=(",", ":"))
        message = b"segpipe review record 1\n" + text.encode()
        # RFC 8410: the header of an Ed25519 public key in DER.
        der = bytes.fromhex("302a300506032b6570032100" + public[values["signer"]])
        names = {"m": message, "k": der, "s": bytes.fromhex(values["signature"])}
        for name, content in names.items():
            (root / name).write_bytes(content)
        words = "pkeyutl -verify -rawin -in m -pubin -keyform DER -inkey k -sigfile s"
        subprocess.run(["openssl", *words.split()], cwd=root, check=True)
        if number > 1:
            before = record_path(root, number - 1)
            sums = subprocess.check_output(["sha256sum", before], text=True)
            assert values["previous"] == sums.split()[0]


def edit(root: Path) -> None:
    put(root, 10, document(root, 10) | {"time": "2030-01-01T00:00:00Z"})


def edit_reason(root: Path) -> None:
    values = document(root, 10)
    values["content"]["reason"] = "all 300 cases are perfect"
    put(root, 10, values)


def edit_and_mend_the_next(root: Path) -> None:
    edit_reason(root)
    put(root, 11, document(root, 11) | {"previous": digest_of(root, 10)})


def delete(root: Path) -> None:
    record_path(root, 7).unlink()


def delete_and_close_up(root: Path) -> None:
    for number in range(7, 12):
        record_path(root, number + 1).rename(record_path(root, number))


def reorder(root: Path) -> None:
    spare = root / "spare"
    record_path(root, 6).rename(spare)
    record_path(root, 7).rename(record_path(root, 6))
    spare.rename(record_path(root, 7))


def insert_twice(root: Path) -> None:
    shutil.copy(record_path(root, 10), record_path(root, 13))


def lay_out_anew(root: Path) -> None:
    path = record_path(root, 8)
    path.write_text(json.dumps(json.loads(path.read_text()), indent=2))


def repeat_a_key(root: Path) -> None:
    path = record_path(root, 10)
    text = path.read_text().replace("{", '{\n "signer": "max",', 1)
    path.write_text(text)


def swell(root: Path) -> None:
    with record_path(root, 9).open("ab") as file:
        file.truncate(LIMIT_BYTES + 1)


def damage(root: Path) -> None:
    path = record_path(root, 12)
    path.write_bytes(path.read_bytes()[:100])


def nest(root: Path) -> None:
    record_path(root, 12).write_bytes(b"[" * 100_000)


def link_elsewhere(root: Path) -> None:
    path = record_path(root, 12)
    path.rename(root / "elsewhere")
    path.symlink_to(root / "elsewhere")


def make_a_pipe(root: Path) -> None:
    record_path(root, 12).unlink()
    os.mkfifo(record_path(root, 12))


def sign_when_revoked(root: Path) -> None:
    forge(root, 13, reading("c3"), "ray", "reader")


def sign_when_revoked_and_date_back(root: Path) -> None:
    time = document(root, 12)["time"]
    forge(root, 13, reading("c3"), "ray", "reader", time=time)


def sign_with_a_strange_key(root: Path) -> None:
    """The thief has no key of the chain, so makes one and states the lead's name."""
    key = keys.make_key(password_of("lea"))
    keys.write_key(key, "lea", root)
    forge(root, 13, decision(), "lea", "lead")


def sign_as_more_than_one_is(root: Path) -> None:
    forge(root, 13, decision(), "rob", "lead")


def sign_what_the_role_may_not(root: Path) -> None:
    forge(root, 13, promotion(), "rob", "reader")


def sign_under_another_name(root: Path) -> None:
    forge(root, 13, decision(), "max", "lead", printed_name="Dr Lea")


def sign_for_another(root: Path) -> None:
    forge(root, 13, decision(), "max", "lead", signer="lea")


def enrol_oneself(root: Path) -> None:
    key = keys.read_key("rob", root).public_key
    content = Enrolment(
        name="rob", printed_name="Dr Rob", roles=("lead",), public_key=key
    )
    forge(root, 13, content, "rob", "reader")


def date_back(root: Path) -> None:
    forge(root, 13, promotion(), "lea", "lead", time="2020-01-01T00:00:00Z")


# What is done, the first broken link, and the words that say why.
TAMPERINGS: list[tuple[Callable[[Path], None], int, str]] = [
    (edit, 10, "is not what lea signed: it was changed"),
    (edit_reason, 10, "is not what lea signed: it was changed"),
    (edit_and_mend_the_next, 10, "is not what lea signed: it was changed"),
    (delete, 7, "is missing before record 8"),
    (delete_and_close_up, 7, "says that it is number 8: it was moved"),
    (reorder, 6, "says that it is number 7: it was moved"),
    (insert_twice, 13, "says that it is number 10: it was moved"),
    (lay_out_anew, 8, "is not in the layout in which records are written"),
    (repeat_a_key, 10, "is not in the layout in which records are written"),
    (swell, 9, "has 1000001 bytes, more than the 1000000 of a record"),
    (damage, 12, "is no JSON"),
    (nest, 12, "is no JSON"),
    (link_elsewhere, 12, "is no plain file"),
    (make_a_pipe, 12, "is no plain file"),
    (sign_when_revoked, 13, "is signed by the key of ray, which record 11 had revoked"),
    (sign_when_revoked_and_date_back, 13, "ray, which record 11 had revoked"),
    (sign_with_a_strange_key, 13, "is signed by the unknown key"),
    (sign_as_more_than_one_is, 13, "is signed as lead, which rob is not"),
    (
        sign_what_the_role_may_not,
        13,
        "is signed by a reader, but only lead or admin may sign a",
    ),
    (sign_under_another_name, 13, "prints the name Dr Lea, but max is Dr Max"),
    (sign_for_another, 13, "names the signer lea, but the key of max"),
    (enrol_oneself, 13, "is signed by a reader, but only admin may sign a record"),
    (date_back, 13, "is dated before the record before it"),
]


@pytest.mark.parametrize(
    ("tamper", "number", "words"),
    TAMPERINGS,
    ids=lambda one: getattr(one, "__name__", ""),
)
def test_tampering_is_found_and_the_first_broken_link_named(
    root: Path, tamper: Callable[[Path], None], number: int, words: str
) -> None:
    tamper(root)

    chain = verify(root)

    assert chain.faults[0].startswith(f"{record_path(root, number)}: record {number} ")
    assert words in chain.faults[0]
    with pytest.raises(DataError, match=r"nothing of this chain is believed"):
        chain.require_whole()


def test_a_chain_that_was_cut_off_is_whole_but_for_its_anchors(root: Path) -> None:
    anchor = Anchor("the MLflow tag of version 3", 12, digest_of(root, 12))
    record_path(root, 12).unlink()
    record_path(root, 11).unlink()

    assert not verify(root).faults
    (fault,) = verify(root, [anchor]).faults
    assert "record 12 is missing: the MLflow tag of version 3 knows it" in fault


def test_a_chain_rewritten_with_keys_of_the_same_names_is_another_for_its_anchors(
    root: Path, tmp_path: Path
) -> None:
    """All signatures of the new chain are right: its writer made the keys, too."""
    anchor = Anchor("the dossier of May", 10, digest_of(root, 10))
    shutil.rmtree(root)
    write_chain(root)

    assert not verify(root).faults
    (fault,) = verify(root, [anchor]).faults
    assert "but the dossier of May knows" in fault
    assert "the chain was rewritten" in fault


def test_of_ten_kinds_of_tampering_in_one_chain_all_ten_are_found(root: Path) -> None:
    """Each at a place of its own; the first one is named first."""
    for number in range(13, 41):
        forge(root, number, reading(f"c{number}"), "rob", "reader")
    anchor = Anchor("the tag", 41, "0" * 64)

    def change(place: int, **values: Any) -> None:
        put(root, place, document(root, place) | values)

    change(14, printed_name="Dr Robert")
    record_path(root, 16).unlink()
    change(18, number=19)
    change(20, previous="0" * 64)
    lay = record_path(root, 22)
    lay.write_text(lay.read_text().replace("\n", "\r\n"))
    change(24, role="lead")
    change(26, key="0" * 64)
    change(28, signature="0" * 128)
    with record_path(root, 30).open("ab") as file:
        file.truncate(LIMIT_BYTES + 1)
    change(32, time="2020-01-01T00:00:00Z")

    chain = verify(root, [anchor])

    found = {int(line.split(": record ")[1].split()[0]) for line in chain.faults}
    assert found >= {14, 16, 18, 20, 22, 24, 26, 28, 30, 32, 41}
    assert "record 14 " in chain.faults[0]
    assert not found & set(range(1, 14))


def test_the_first_person_of_a_chain_cannot_be_somebody_else(root: Path) -> None:
    """Without record 1 nobody is known, so nobody signed anything."""
    record_path(root, 1).unlink()

    faults = verify(root).faults

    assert "record 1 is missing before record 2" in faults[0]
    assert len(faults) > 11


def test_an_empty_chain_is_whole(tmp_path: Path) -> None:
    assert verify(tmp_path).head is None
    assert verify(tmp_path).faults == ()


def test_a_strange_file_among_the_records_is_named(root: Path) -> None:
    (root / "reviews" / "records" / "notes.txt").write_text("")

    with pytest.raises(DataError, match=r"notes.txt: expected records with names such"):
        verify(root)


def test_hashlib_names_the_head_as_written(root: Path) -> None:
    head = verify(root).head

    assert head is not None
    content = (root / "reviews/records/000012.json").read_bytes()
    assert head.text == f"12:{hashlib.sha256(content).hexdigest()}"


def test_a_name_that_may_sign_cannot_be_enrolled_again(root: Path) -> None:
    with pytest.raises(DataError, match="lea: expected a name without a key"):
        add_person("lea", "Dr Lea", ("admin",), "another password", root)
