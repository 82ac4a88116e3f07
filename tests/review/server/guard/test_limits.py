"""Bodies are bounded before they are read, and every answer binds the browser."""

from collections.abc import Iterable, Iterator
from http.client import HTTPConnection

import pytest

from segpipe.review.server.guard.limits import BODY_BYTES, HEADERS
from tests.support.readers import (
    Review,
    member,
    open_review,
    send,
    served,
    stranger,
    token_in,
)

FORM = {"content-type": "application/x-www-form-urlencoded"}


@pytest.fixture(scope="module")
def review(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Review]:
    with served(open_review(tmp_path_factory.mktemp("review"), items=1)) as review:
        review.add("jane")
        yield review


def ask(review: Review, *headers: tuple[str, str], body: Iterable[bytes] = ()) -> int:
    """The status of a request whose headers say what they like."""
    connection = HTTPConnection(review.url.removeprefix("http://"), timeout=20)
    connection.putrequest("POST", "/login")
    for name, value in (("Origin", review.url), *FORM.items(), *headers):
        connection.putheader(name, value)
    connection.endheaders()
    try:
        for piece in body:
            connection.send(b"%x\r\n%s\r\n" % (len(piece), piece))
    except ConnectionError:
        pass  # the server has answered, and reads no more
    try:
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.parametrize("length", [f"{5 * 1024**3}", "9" * 18, f"{BODY_BYTES + 1}"])
def test_a_large_body_is_refused_before_it_is_sent(review: Review, length: str) -> None:
    assert ask(review, ("Content-Length", length)) == 413


def test_a_body_without_a_length_is_refused_when_it_is_too_large(
    review: Review,
) -> None:
    sent = 0

    def pieces() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(1000):
            sent += 65536
            yield b"x" * 65536

    assert ask(review, ("Transfer-Encoding", "chunked"), body=pieces()) == 413
    assert sent > BODY_BYTES


@pytest.mark.parametrize("length", ["-1", "1e3", "0x10", "9" * 40])
def test_a_strange_length_is_refused(review: Review, length: str) -> None:
    assert ask(review, ("Content-Length", length)) in (400, 413)


def test_a_file_and_a_form_of_too_many_fields_are_refused(review: Review) -> None:
    client = member(review, "jane")
    csrf = token_in(client.get("/").text)
    upload = client.post(
        review.item(), data={"csrf": csrf}, files={"mask": b"x" * 1000}
    )
    many = send(client, review.item(), **{f"f{n}": "" for n in range(5001)})

    assert upload.status_code == 400
    assert many == 400


def test_every_answer_binds_the_browser(review: Review) -> None:
    client = stranger(review)
    answers = [client.get(path) for path in ("/login", "/", "/no", "/static/x/y")]
    client = member(review, "jane")
    answers += [client.get(path) for path in ("/", review.item())]
    answers.append(client.get(f"{review.item()}/A.nii.gz"))

    for answer in answers:
        assert (
            HEADERS.items() <= dict(answer.headers).items()
            or {k.lower(): v for k, v in HEADERS.items()}.items()
            <= dict(answer.headers).items()
        )
        assert answer.headers["cache-control"] == "no-store"
    policy = HEADERS["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy


def test_what_writes_says_from_which_page_it_comes(review: Review) -> None:
    client = member(review, "jane")
    csrf = token_in(client.get("/").text)
    del client.headers["origin"]
    silent = client.post("/logout", data={"csrf": csrf})
    foreign = client.post(
        "/logout", data={"csrf": csrf}, headers={"origin": "http://127.0.0.1:1"}
    )

    assert silent.status_code == 403
    assert foreign.status_code == 403
