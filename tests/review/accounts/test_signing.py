"""Readings become records, once each, whatever happens between chain and database."""

import shutil
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from segpipe.approval import keys
from segpipe.approval.chain.folder import record_path
from segpipe.approval.chain.signing import append_all
from segpipe.approval.chain.verification import verify
from segpipe.approval.keys import key_path
from segpipe.approval.protocol import read_protocol
from segpipe.approval.records import Adjudication, Reading, Record
from segpipe.project.errors import DataError
from segpipe.project.fingerprint import digest_file
from segpipe.review.accounts import readings, signing
from segpipe.review.accounts.assignments import assign, list_tasks
from segpipe.review.accounts.readings import submit_reading
from segpipe.review.accounts.signing import (
    UnsignedError,
    digest_unsigned,
    match_chain,
    sign_readings,
)
from segpipe.review.accounts.tables import StoredReading
from segpipe.review.dossier import read_key
from segpipe.review.work.readings import read_signed
from tests.support.kills import check_each_kill
from tests.support.readers import PASSWORD, Review, open_review
from tests.support.reviews import CHEAP, write_policy


def say(review: Review, name: str, score: int, *places: int) -> None:
    reader = review.reader(name)
    items = [*review.volume.items]
    for place in places or range(len(items)):
        rating = {"score": score, "artefact": False, "comment": "<b>"}
        said = {letter: {"ball": rating, "spot <b>": rating} for letter in "ABC"}
        one = readings.Reading(review.volume.digest, items[place], said, 0.0)
        submit_reading(review.database, reader.user, one)


def sign(review: Review, name: str, password: str = PASSWORD) -> list[Record]:
    protocol = read_protocol(review.root)
    reader = review.reader(name)
    tasks = list_tasks(review.database, reader.user, review.volume.digest)
    return sign_readings(
        review.database,
        reader,
        password,
        review.chain,
        protocol,
        shown=digest_unsigned(tasks),
    )


def stored(review: Review, name: str) -> list[StoredReading]:
    user = review.reader(name).user
    tasks = list_tasks(review.database, user, review.volume.digest)
    return [task.reading for task in tasks if task.reading is not None]


@pytest.fixture
def review(tmp_path: Path) -> Review:
    return open_review(tmp_path, items=2)


def test_each_reading_is_a_record_of_what_was_shown(review: Review) -> None:
    """The digests are those of the files, read anew."""
    review.add("jane")
    say(review, "jane", 3)
    first, second = sign(review, "jane")

    chain = verify(review.root)
    assert chain.faults == ()
    assert chain.records[-2:] == (first, second)
    assert (first.signer, first.role) == ("jane", "reader")
    item, folder = review.volume.dossier.items[0].id, review.volume.folder
    content = first.content
    assert isinstance(content, Reading)
    assert (content.case, content.stratum) == (item, "worst")
    assert content.shown == {"A": "candidate", "B": "champion", "C": "reference"}
    files = folder / "items" / item
    assert content.images == {"image": digest_file(files / "image.nii.gz")}
    assert content.masks == {
        letter: digest_file(files / f"{letter}.nii.gz") for letter in "ABC"
    }
    assert content.subject.segmenter == review.volume.dossier.segmenter
    assert content.protocol == review.volume.dossier.protocol
    assert content.ratings["B"]["spot <b>"].score == 3
    assert [one.record for one in stored(review, "jane")] == [
        first.number,
        second.number,
    ]
    assert [one.signed for one in stored(review, "jane")] == [first.time, second.time]
    assert sign(review, "jane") == []


def test_an_adjudication_names_the_readings_that_it_decides_between(
    review: Review,
) -> None:
    review.add("jane")
    review.add("john")
    review.add("eve", "adjudicator", reads=False)
    (first, second), eve = [*review.volume.items], review.reader("eve")
    digest = review.volume.digest
    own = {"dossier": digest, "items": [second], "purpose": "adjudicate"}
    assign(review.database, eve.user, **own)
    say(review, "eve", 2, 1)
    with pytest.raises(UnsignedError, match="its readers sign first"):
        sign(review, "eve")
    for name, score in (("jane", 1), ("john", 4)):
        say(review, name, score)
        sign(review, name)
    (record,) = sign(review, "eve")

    content = record.content
    assert isinstance(content, Adjudication)
    assert record.role == "adjudicator"
    records = verify(review.root).records
    assert [(n, records[n - 1].signer) for n in content.readings] == [
        (content.readings[0], "jane"),
        (content.readings[1], "john"),
    ]
    assert {records[n - 1].content.case for n in content.readings} == {second}  # type: ignore[union-attr]
    assert first != second


def test_a_password_that_is_not_the_keys_signs_nothing(review: Review) -> None:
    review.add("jane")
    say(review, "jane", 3)
    keys.change_password("jane", PASSWORD, "other random words", review.root)

    with pytest.raises(UnsignedError, match="`segpipe review users password jane`"):
        sign(review, "jane")
    key_path(review.root, "jane").unlink()
    with pytest.raises(UnsignedError, match="key is not on this server"):
        sign(review, "jane")
    assert len(verify(review.root).records) == 2
    assert [one.signed for one in stored(review, "jane")] == [None, None]


def test_who_trained_the_version_signs_nothing(
    tmp_path: Path,
) -> None:
    review = open_review(tmp_path, items=1, trainers=("JANE",))
    review.add("jane")  # before the policy asked for it
    say(review, "jane", 3)
    write_policy(review.root)

    with pytest.raises(UnsignedError, match=r"Dr Jane did \(JANE\)"):
        sign(review, "jane")
    assert len(verify(review.root).records) == 2
    write_policy(review.root, reviewer_is_not_trainer="false")
    assert len(sign(review, "jane")) == 1


def test_words_that_come_while_signing_wait_and_are_refused(
    review: Review, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is marked is what the record says: nothing slips in between."""
    review.add("jane")
    say(review, "jane", 3)
    within = Barrier(2, timeout=60)

    def slow(*words: Any) -> list[Record]:
        records = append_all(*words)
        within.wait()  # the records are there, the marks are not
        return records

    monkeypatch.setattr(signing, "append_all", slow)
    with ThreadPoolExecutor(2) as pool:
        signed = pool.submit(sign, review, "jane")
        within.wait()
        with pytest.raises(DataError, match="found a signed"):
            pool.submit(say, review, "jane", 1).result()
        records = signed.result()

    for one, record in zip(stored(review, "jane"), records, strict=True):
        assert isinstance(record.content, Reading)
        assert one.record == record.number
        assert one.ratings["A"]["ball"]["score"] == 3
        assert record.content.ratings["A"]["ball"].score == 3


def test_a_previous_study_that_was_shown_stands_in_the_record(tmp_path: Path) -> None:
    review = open_review(tmp_path, items=2, previous=(28,))
    review.add("jane")
    say(review, "jane", 3)
    write_policy(review.root)
    protocol = read_protocol(review.root)
    assert protocol is not None
    first, second = sign(review, "jane")

    assert isinstance(first.content, Reading)
    assert isinstance(second.content, Reading)
    assert second.content.images.keys() == {"image"}
    (item, _), volume = review.volume.items, review.volume
    path = volume.folder / f"items/{item}/previous.nii.gz"
    assert first.content.images["previous"] == digest_file(path)
    key, chain = read_key(volume.folder), review.chain.read()
    assert read_signed(volume, key, chain, protocol).faults == ()


def test_only_what_was_shown_is_signed(review: Review) -> None:
    """One window shows a 3; then another stores a 1, or reads one more case."""
    review.add("jane")
    say(review, "jane", 3, 1)
    reader = review.reader("jane")

    def shown() -> str:
        tasks = list_tasks(review.database, reader.user, review.volume.digest)
        return digest_unsigned(tasks)

    for change in (lambda: say(review, "jane", 1, 1), lambda: say(review, "jane", 3)):
        before = shown()
        change()
        with pytest.raises(UnsignedError, match=r"changed since .* Nothing was signed"):
            sign_readings(
                review.database, reader, PASSWORD, review.chain, None, shown=before
            )
    assert len(verify(review.root).records) == 2
    assert len(sign(review, "jane")) == 2


def test_two_tabs_that_sign_at_once_sign_each_reading_once(review: Review) -> None:
    review.add("jane")
    say(review, "jane", 3)
    both = Barrier(2, timeout=60)

    def press(_: int) -> int:
        both.wait()
        return len(sign(review, "jane"))

    with ThreadPoolExecutor(2) as pool:
        counts = sorted(pool.map(press, range(2)))

    assert counts == [0, 2]
    assert len(verify(review.root).records) == 2 + 2


@pytest.mark.parametrize("said", [True, False])
def test_a_restored_database_takes_what_was_signed_from_the_chain(
    review: Review, said: bool
) -> None:
    """The backup is from before the signature, or from before the reading."""
    review.add("jane")
    say(review, "jane", 3, 0, 1) if said else None
    review.database.close()
    file = Path(str(review.database.engine.url.database))
    kept = file.read_bytes()
    say(review, "jane", 2)
    records = sign(review, "jane")
    review.database.close()
    file.write_bytes(kept)

    tasks = match_chain(review.database, review.reader("jane"), review.chain)

    assert [one.reading and one.reading.record for one in tasks] == [3, 4]
    assert all(one.is_signed for one in tasks)
    for one, record in zip(stored(review, "jane"), records, strict=True):
        assert (one.signed, one.ratings["A"]["ball"]["score"]) == (record.time, 2)
    assert sign(review, "jane") == []
    assert len(verify(review.root).records) == 4


def test_what_the_records_lost_is_shown_and_signed_again(review: Review) -> None:
    """They were not in git yet, and `git clean` took the last one."""
    review.add("jane")
    say(review, "jane", 3)
    sign(review, "jane")
    record_path(review.root, 4).unlink()
    with pytest.raises(UnsignedError, match="changed since"):  # nobody was shown it
        sign(review, "jane")

    first, second = match_chain(review.database, review.reader("jane"), review.chain)

    assert (first.is_signed, second.is_signed) == (True, False)
    (again,) = sign(review, "jane")
    assert again.number == 4
    assert isinstance(again.content, Reading)
    assert again.content.case == second.assignment.item
    assert again.content.ratings["A"]["ball"].score == 3


def prepare(folder: Path) -> None:
    """A reader who has said everything and signed nothing; written once."""
    first = folder.parent / "first"
    if not first.exists():
        review = open_review(first, items=2)
        review.add("jane")
        say(review, "jane", 3)
        review.database.close()
    shutil.copytree(first, folder)


def reopen(folder: Path) -> Review:
    from segpipe.review.accounts.database import open_database
    from segpipe.review.shelf import open_volume

    keys.COST = CHEAP
    accounts = open_database(f"sqlite:///{folder}/accounts.db")
    return Review(accounts, open_volume(folder / ".reviews/phantom-3"), folder)


def act(folder: Path) -> None:
    sign(reopen(folder), "jane")
    (folder / "end").touch()  # a step after the marks


def check(folder: Path) -> None:
    review = reopen(folder)
    recorded = [one for one in verify(folder).records if one.signer == "jane"]
    marked = [one for one in stored(review, "jane") if one.signed is not None]
    assert len(marked) in (0, 2)
    assert len(marked) <= len(recorded)
    match_chain(review.database, review.reader("jane"), review.chain)
    for number, one in enumerate(stored(review, "jane")):
        assert (one.signed is not None) is (number < len(recorded))
        if one.signed is not None:  # and may not be said anew
            with pytest.raises(DataError, match="found a signed"):
                say(review, "jane", 1, number)
    sign(review, "jane")
    chain = verify(folder)
    assert chain.faults == ()
    assert [one.content.case for one in chain.records[2:]] == [*review.volume.items]  # type: ignore[union-attr]
    assert [one.record for one in stored(review, "jane")] == [3, 4]
    review.database.close()


def test_a_kill_at_any_point_loses_nothing_and_signs_nothing_twice(
    forker: Executor, tmp_path: Path
) -> None:
    steps = check_each_kill(forker, tmp_path, prepare=prepare, act=act, check=check)

    assert steps >= 5
