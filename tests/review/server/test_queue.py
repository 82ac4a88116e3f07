"""The queue shows what is left; a signature needs the password and is final."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.dossiers import CASE
from tests.support.readers import PASSWORD, Review, member, open_review, send, served


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

    assert jane.get(f"{review.address}/progress").status_code == 403
    page = laura.get(f"{review.address}/progress").text
    assert "Dr John" in page
    assert "Median time" in page
    assert "too small" not in page
    assert CASE not in page
    assert laura.get(f"{review.address}/results").status_code == 403


def test_a_lock_out_also_stops_guesses_at_the_signature(review: Review) -> None:
    review.add("jane")
    client = member(review, "jane")
    send(client, review.item(0), **review.ratings())
    sign = f"{review.address}/sign"
    tries = [send(client, sign, password="a wrong password") for _ in range(5)]

    assert tries == [401] * 5
    assert send(client, sign, password=PASSWORD) == 401
