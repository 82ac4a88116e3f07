"""The webhook is told of a review, by a real server, and its failure stops nothing."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.running import invitation
from flows.running.invitation import Invitation, call_webhook
from segpipe.approval.protocol import protocol_file, read_protocol, write_protocol
from segpipe.project.errors import DataError
from tests.support.hooks import Hook, webhook

GIVEN = Invitation("study", "liver", "3", 44, "https://review.example.org")


@pytest.fixture(scope="module")
def server() -> Iterator[Hook]:
    with webhook() as hook:
        yield hook


@pytest.fixture
def hook(server: Hook) -> Hook:
    """The server, which has got nothing yet."""
    server.got.clear()
    return server


def test_the_hook_gets_the_link_and_no_case(hook: Hook) -> None:
    fault = call_webhook(f"{hook.url}/T0/secret", GIVEN)

    ((path, kind, body),) = hook.got
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
    hook: Hook, path: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(invitation, "LONGEST_S", 0.5)

    assert call_webhook(f"{hook.url}{path}", GIVEN) == words
    assert [one[0] for one in hook.got] == [path]


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("http://127.0.0.1:9/secret", "ConnectError"),  # nobody listens to discard
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
        with pytest.raises(
            DataError, match=r"(?s)review\.yaml.*webhook: .*expected https://HOST"
        ):
            read_protocol(tmp_path)
