"""A session begins with the right password, in a cookie that scripts cannot read."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from segpipe.review.accounts.users import TRIES
from segpipe.review.server.guard.limits import Rate
from tests.support.readers import (
    PASSWORD,
    Review,
    log_in,
    member,
    open_review,
    send,
    served,
    stranger,
    token_in,
)


@pytest.fixture
def review(tmp_path: Path) -> Iterator[Review]:
    with served(open_review(tmp_path, items=1)) as review:
        review.add("jane")
        yield review


def test_the_right_password_opens_the_queue_and_log_out_closes_it(
    review: Review,
) -> None:
    client = member(review, "jane")
    assert "My queue" in client.get("/").text
    cookie = dict(client.cookies)
    assert send(client, "/logout") == 303

    back = stranger(review)
    back.cookies.update(cookie)  # as a thief would who copied it before
    assert back.get("/").headers["location"] == "/login"


@pytest.mark.parametrize("typed", ["Jane", " JANE "])
def test_a_telephone_may_write_the_name_its_own_way(review: Review, typed: str) -> None:
    assert log_in(stranger(review), typed) == 303


def test_the_cookie_is_for_this_server_and_no_script(review: Review) -> None:
    client = stranger(review)
    csrf = token_in(client.get("/login").text)
    form = {"name": "jane", "password": PASSWORD, "csrf": csrf}
    plain = client.post("/login", data=form).headers.get_list("set-cookie")[-1]

    assert plain.startswith("segpipe-review=")
    assert {"httponly", "samesite=lax", "path=/"} <= {
        word.strip().lower() for word in plain.split(";")
    }
    assert "secure" not in plain.lower()


def test_each_login_has_a_new_token(review: Review) -> None:
    """A token that somebody planted in the browser is worth nothing afterwards."""
    client = stranger(review)
    client.headers["cookie"] = "segpipe-review=planted"
    csrf = token_in(client.get("/login").text)
    login = client.cookies["segpipe-review-login"]
    client.headers["cookie"] += f"; segpipe-review-login={login}"
    form = {"name": "jane", "password": PASSWORD, "csrf": csrf}
    answer = client.post("/login", data=form)

    assert answer.status_code == 303
    assert client.cookies["segpipe-review"] != "planted"
    assert client.get("/").headers["location"] == "/login"


@pytest.mark.parametrize(
    ("name", "password"), [("jane", "a wrong password"), ("nobody", PASSWORD), ("", "")]
)
def test_a_wrong_login_does_not_say_what_was_wrong(
    review: Review, name: str, password: str
) -> None:
    client = stranger(review)
    csrf = token_in(client.get("/login").text)
    form = {"name": name, "password": password, "csrf": csrf}
    answer = client.post("/login", data=form)

    assert answer.status_code == 401
    assert "Name or password is wrong" in answer.text
    assert "segpipe-review=" not in answer.headers.get("set-cookie", "")


def test_a_form_of_another_page_logs_nobody_in(review: Review) -> None:
    client = stranger(review)
    client.get("/login")
    form = {"name": "jane", "password": PASSWORD, "csrf": "guessed"}

    assert client.post("/login", data=form).status_code == 403


def test_guessing_is_stopped_by_the_account_and_by_the_address(review: Review) -> None:
    client = stranger(review)
    wrong = [log_in(client, "jane", "a wrong password") for _ in range(TRIES)]
    locked = log_in(client, "jane")
    others = [log_in(client, f"name{n}", "x") for n in range(10)]

    assert wrong == [401] * TRIES
    assert locked == 401
    assert others[-1] == 429


def test_a_rate_comes_back_with_time() -> None:
    rate = Rate(burst=3, per_minute=6.0, keys=2)
    first = [rate.allows("a", at=0.0) for _ in range(4)]
    later = [rate.allows("a", at=10.0) for _ in range(2)]

    assert first == [True, True, True, False]
    assert later == [True, False]
    assert rate.allows("b", at=10.0)
