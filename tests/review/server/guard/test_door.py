"""The door lets in the server's own pages and people with the login, nobody else."""

import pytest
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from segpipe.review.server.guard.door import Door, build_hosts

BASIC = "Basic c2VncGlwZTpvcGVuLXNlc2FtZQ=="  # by `base64`
OWN = {"host": "127.0.0.1:5000", "authorization": BASIC}
# Headers that differ from those of a person with the login, and the status.
REQUESTS: dict[str, tuple[dict[str, str | None], int]] = {
    "a person with curl": ({}, 200),
    "the server's page": ({"origin": "http://127.0.0.1:5000"}, 200),
    "the server's page by its other name": (
        {"host": "localhost:5000", "origin": "http://localhost:5000"},
        200,
    ),
    "the server's page behind a proxy": (
        {"host": "lab.example", "origin": "https://lab.example"},
        200,
    ),
    "names in capitals": ({"host": "LOCALHOST:5000"}, 200),
    "a link from another page": (
        {"sec-fetch-site": "cross-site", "sec-fetch-dest": "document"},
        200,
    ),
    "an address that was typed": (
        {"sec-fetch-site": "none", "sec-fetch-dest": "document"},
        200,
    ),
    "a picture on the server's page": (
        {"sec-fetch-site": "same-origin", "sec-fetch-dest": "image"},
        200,
    ),
    "another page": ({"origin": "https://evil.example"}, 403),
    "a page without a name": ({"origin": "null"}, 403),
    "a page of another port": ({"origin": "http://127.0.0.1:9999"}, 403),
    "a page whose name begins like ours": (
        {"origin": "http://127.0.0.1:5000.evil.example"},
        403,
    ),
    "a frame in another page": (
        {"sec-fetch-site": "cross-site", "sec-fetch-dest": "iframe"},
        403,
    ),
    "a script of another port's page": (
        {"sec-fetch-site": "same-site", "sec-fetch-dest": "script"},
        403,
    ),
    "a rebound name": ({"host": "evil.example:5000"}, 403),
    "a rebound name that is its own origin": (
        {"host": "evil.example:5000", "origin": "http://evil.example:5000"},
        403,
    ),
    "a rebound name that looks like a private address": (
        {"host": "10.evil.example:5000"},
        403,
    ),
    "our name on another port": ({"host": "127.0.0.1:9999"}, 403),
    "no name": ({"host": None}, 403),
    "nobody": ({"authorization": None}, 401),
    "a wrong password": ({"authorization": BASIC[:-4] + "bQ=="}, 401),
    "a word that is not ASCII": ({"authorization": "Basic é"}, 401),
}


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch) -> Door:
    monkeypatch.setenv("SEGPIPE_HOSTS", " lab.example, ")

    async def server(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError("not asked here")

    return Door(server, hosts=build_hosts(5000), authorization=BASIC)


@pytest.mark.parametrize("name", REQUESTS)
def test_who_is_let_in(door: Door, name: str) -> None:
    changes, status = REQUESTS[name]
    headers = {k: v for k, v in {**OWN, **changes}.items() if v is not None}

    refusal = door.judge(Headers(headers))

    assert (200 if refusal is None else refusal.status) == status
    assert refusal is None or "open-sesame" not in refusal.text


def test_two_names_in_one_request_are_refused(door: Door) -> None:
    raw = [(b"host", b"127.0.0.1:5000"), (b"host", b"evil.example")]
    refusal = door.judge(Headers(raw=[*raw, (b"authorization", BASIC.encode())]))

    assert refusal is not None
    assert refusal.status == 403
