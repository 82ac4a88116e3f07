"""The queue shows what is left; a signature needs the password and is final."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from segpipe.approval.chain.signing import append, revoke_person
from segpipe.approval.chain.verification import verify
from segpipe.approval.keys import key_path
from segpipe.approval.records import Reading
from segpipe.project.errors import DataError
from segpipe.review.accounts.users import TRIES
from tests.support.dossiers import CASE
from tests.support.readers import (
    ADMIN,
    PASSWORD,
    Review,
    hidden_in,
    member,
    open_review,
    send,
    served,
    stranger,
    token_in,
)
from tests.support.reviews import reading, write_policy


@pytest.fixture
def review(tmp_path: Path) -> Iterator[Review]:
    with served(open_review(tmp_path, items=2)) as review:
        yield review


def test_a_reader_reads_signs_and_then_sees_what_the_letters_stood_for(
    review: Review,
) -> None:
    review.add("jane")
    client = member(review, "jane")
    address = review.address
    assert "2 of 2 cases are left" in client.get("/").text
    assert client.get(f"{address}/next").headers["location"] == review.item(0)
    assert client.get(f"{address}/results").status_code == 403

    for place in range(2):
        assert send(client, review.item(place), **review.ratings(seconds="3")) == 303
    assert client.get(f"{address}/next").headers["location"] == f"{address}/sign"
    assert client.get(f"{address}/results").status_code == 403
    assert send(client, f"{address}/sign", password="a wrong password") == 401
    assert client.get(f"{address}/results").status_code == 403
    assert send(client, f"{address}/sign", password=PASSWORD) == 303

    signed = [one.content for one in verify(review.root).records if one.number > 2]
    assert [one.case for one in signed if isinstance(one, Reading)] == [
        item.id for item in review.volume.dossier.items
    ]
    results = client.get(f"{address}/results")
    assert results.status_code == 200
    assert CASE in results.text
    assert "A: candidate" in results.text
    assert send(client, review.item(0), **review.ratings()) == 422


def test_only_a_lead_sees_the_progress_and_no_ratings(review: Review) -> None:
    review.add("jane")
    review.add("john")
    review.add("laura", "lead", reads=False)
    jane, laura = member(review, "jane"), member(review, "laura")
    comment = {"comment-1": "too small"}
    assert send(jane, review.item(0), **review.ratings(seconds="0", **comment)) == 303

    write_policy(review.root)
    assert jane.get(f"{review.address}/lead").status_code == 403
    page = laura.get(f"{review.address}/lead").text
    assert "Dr John" in page
    assert "too small" not in page
    assert CASE not in page
    assert laura.get(f"{review.address}/results").status_code == 403


def signatures(review: Review) -> int:
    records = verify(review.root).require_whole().records
    return sum(isinstance(one.content, Reading) for one in records)


def read_one(review: Review, name: str) -> httpx.Client:
    client = member(review, name)
    assert send(client, review.item(0), **review.ratings()) == 303
    return client


def test_a_signature_is_of_what_its_page_showed(review: Review) -> None:
    """One tab shows a 4; another then stores a 1; the first may not sign the 1."""
    review.add("jane")
    client, sign = read_one(review, "jane"), f"{review.address}/sign"
    first = {**hidden_in(client.get(sign).text), "password": PASSWORD}
    other = {"score-A-1": "1"}
    assert send(client, review.item(0), **review.ratings(**other)) == 303
    answer = client.post(sign, data=first)

    assert answer.status_code == 409
    assert "changed since this page was shown" in answer.text
    assert "A 1, B 4" in answer.text
    assert client.post(sign, data={**first, "shown": ""}).status_code == 409
    assert signatures(review) == 0
    again = {**hidden_in(answer.text), "password": PASSWORD}
    assert client.post(sign, data=again).status_code == 303
    assert signatures(review) == 1


def test_a_lock_out_also_stops_guesses_at_the_signature(review: Review) -> None:
    review.add("jane")
    client = read_one(review, "jane")
    sign = f"{review.address}/sign"
    tries = [send(client, sign, password="a wrong password") for _ in range(TRIES)]

    assert tries == [401] * TRIES
    assert send(client, sign, password=PASSWORD) == 401
    assert signatures(review) == 0


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"password": ""},
        {"password": "password of john"},
        {"password": PASSWORD, "csrf": "guessed"},
    ],
)
def test_a_stolen_session_signs_nothing_without_the_password(
    review: Review, form: dict[str, str]
) -> None:
    """The thief has jane's cookie, and john's own account."""
    review.add("jane")
    client, sign = read_one(review, "jane"), f"{review.address}/sign"
    thief = stranger(review)
    thief.cookies.update(dict(client.cookies))
    csrf = {"csrf": token_in(thief.get("/").text)}

    assert thief.post(sign, data=csrf | form).status_code in (401, 403)
    assert signatures(review) == 0
    assert send(client, sign, password=PASSWORD) == 303
    assert signatures(review) == 1


def test_a_stolen_key_signs_nothing_without_its_password(review: Review) -> None:
    """Not on the thief's machine, nor in the place of the thief's own key."""
    review.add("jane")
    review.add("john")
    client, stolen = read_one(review, "john"), key_path(review.root, "jane")
    away = review.root / "away"
    shutil.copytree(review.root / "reviews", away / "reviews")
    key_path(away, "jane").parent.mkdir(parents=True)
    shutil.copy(stolen, key_path(away, "jane"))
    for guess in ("", "password", PASSWORD.title()):
        with pytest.raises(DataError, match="nothing was signed"):
            append(reading(), "jane", guess, away)
    own = key_path(review.root, "john").read_bytes()
    shutil.copy(stolen, key_path(review.root, "john"))
    answer = send(client, f"{review.address}/sign", password=PASSWORD)

    assert answer == 500
    assert signatures(review) == 0
    key_path(review.root, "john").write_bytes(own)
    assert send(client, f"{review.address}/sign", password=PASSWORD) == 303


def test_who_is_revoked_is_sent_to_the_login_and_let_in_no_more(review: Review) -> None:
    review.add("jane")
    client = read_one(review, "jane")
    csrf = token_in(client.get("/").text)
    revoke_person("jane", "has left", *ADMIN, review.root)
    form = {"csrf": csrf, "password": PASSWORD}

    assert client.get("/").headers["location"] == "/login"
    assert client.post(f"{review.address}/sign", data=form).status_code == 401
    with pytest.raises(AssertionError):
        member(review, "jane")


def test_a_broken_chain_lets_nobody_in_and_says_no_path(review: Review) -> None:
    review.add("jane")
    client = read_one(review, "jane")
    (review.root / "reviews/records/000001.json").unlink()
    answer = client.get("/")

    assert answer.status_code == 500
    assert "tell its lead" in answer.text
    assert str(review.root) not in answer.text


def test_a_trainer_signs_nothing_and_is_told_why(tmp_path: Path) -> None:
    with served(open_review(tmp_path, items=1, trainers=("jane",))) as review:
        review.add("jane")
        client = read_one(review, "jane")
        write_policy(review.root)
        sign = f"{review.address}/sign"
        form = {**hidden_in(client.get(sign).text), "password": PASSWORD}
        answer = client.post(sign, data=form)

        assert answer.status_code == 409
        assert "Dr Jane did (jane)" in answer.text
        assert signatures(review) == 0


def test_script_in_a_case_name_is_text(tmp_path: Path) -> None:
    """Names of cases come from files, and are shown after the signature."""
    script = "<script>alert(1)</script>"
    with served(open_review(tmp_path, items=1, case=script)) as review:
        review.add("jane")
        client = read_one(review, "jane")
        assert send(client, f"{review.address}/sign", password=PASSWORD) == 303
        page = client.get(f"{review.address}/results").text

    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert script not in page
