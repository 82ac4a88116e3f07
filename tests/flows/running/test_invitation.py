"""The webhook is told of a review, by a real server, and its failure stops nothing."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from flows.running import invitation
from flows.running.invitation import Invitation, call_webhook
from segpipe.approval.protocol import protocol_file, read_protocol, write_protocol
from segpipe.project.errors import DataError
from tests.support.servers import free_port

GIVEN = Invitation("study", "liver", "3", 44, "https://review.example.org")


class Hook(BaseHTTPRequestHandler):
    """Keeps what it is sent; the path says how it answers."""

    got: list[tuple[str, str, bytes]] = []  # noqa: RUF012 - emptied by each test

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.got.append((self.path, self.headers["Content-Type"], body))
        if self.path == "/slow":
            time.sleep(3)
        self.send_response({"/moved": 302, "/closed": 403}.get(self.path, 204))
        if self.path == "/moved":
            self.send_header("Location", "/elsewhere")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def hook() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def nothing_yet() -> None:
    Hook.got.clear()


def test_the_hook_gets_the_link_and_no_case(hook: str) -> None:
    fault = call_webhook(f"{hook}/T0/secret", GIVEN)

    ((path, kind, body),) = Hook.got
    assert fault is None
    assert (path, kind) == ("/T0/secret", "application/json")
    assert json.loads(body) == {
        "event": "segpipe.review.asked",
        "project": "study",
        "name": "liver",
        "version": "3",
        "items": 44,
        "link": "https://review.example.org",
        "text": "liver version 3 waits for its review: 44 items, at "
        "https://review.example.org",
    }


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/closed", "it answered with 403"),
        ("/moved", "it answered with 302"),
        ("/slow", "it did not answer within 0.5 s"),
    ],
)
def test_a_hook_that_fails_is_told_once_and_its_address_is_repeated_nowhere(
    hook: str, path: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(invitation, "LONGEST_S", 0.5)

    assert call_webhook(f"{hook}{path}", GIVEN) == words
    assert [one[0] for one in Hook.got] == [path]


@pytest.mark.parametrize(
    ("url", "error"),
    [
        (f"http://127.0.0.1:{free_port()}/secret", "ConnectError"),
        ("file:///etc/passwd", "UnsupportedProtocol"),
        ("ftp://example.org/secret", "UnsupportedProtocol"),
        ("http://[::1", "InvalidURL"),
    ],
)
def test_what_is_no_hook_is_a_sentence(url: str, error: str) -> None:
    assert call_webhook(url, GIVEN) == f"it could not be reached ({error})"


@pytest.mark.parametrize(
    ("address", "right"),
    [
        ("https://hooks.example.org/T0/x", True),
        ("http://127.0.0.1:9000/", True),
        ("null", True),
        ("ftp://example.org", False),
        ("file:///etc/passwd", False),
        ("hooks.example.org", False),
        ("https://", False),
    ],
)
def test_review_yaml_takes_http_and_https_only(
    tmp_path: Path, address: str, right: bool
) -> None:
    write_protocol(tmp_path)
    file = protocol_file(tmp_path)
    file.write_text(file.read_text().replace("webhook: null", f"webhook: {address}"))

    if right:
        protocol = read_protocol(tmp_path)
        assert protocol is not None
        assert protocol.webhook == (None if address == "null" else address)
    else:
        with pytest.raises(DataError, match=r"review\.yaml.*webhook"):
            read_protocol(tmp_path)
