"""The servers' login is read, sent as browsers do, and never missing."""

import os
import subprocess
import sys

import pytest
from prefect.settings import Settings

from flows.services.door import BROKERS, authorization, prepare_prefect, read_login
from segpipe.project.errors import DataError

PREPARED = (
    "PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED",
    "PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS",
)


def test_a_login_is_sent_as_basic_authentication() -> None:
    basic = "Basic c2VncGlwZTpvcGVuLXNlc2FtZQ=="  # by `base64`

    assert authorization("segpipe:open-sesame") == basic


@pytest.mark.parametrize("login", [None, "", "segpipe", "segpipe:", ":word"])
def test_no_server_starts_without_a_login(
    monkeypatch: pytest.MonkeyPatch, login: str | None
) -> None:
    monkeypatch.delenv("PREFECT_SERVER_API_AUTH_STRING", raising=False)
    if login is not None:
        monkeypatch.setenv("PREFECT_SERVER_API_AUTH_STRING", login)

    with pytest.raises(DataError, match="expected user:password"):
        read_login()


@pytest.mark.parametrize("server", [["prefect"], ["mlflow", "--artifacts", "files"]])
def test_a_server_without_a_login_ends_with_one_sentence(server: list[str]) -> None:
    unset = {"PREFECT_SERVER_API_AUTH_STRING": ""}
    answer = subprocess.run(
        [sys.executable, "-m", "flows.services.door", *server],
        env={**os.environ, **unset},
        capture_output=True,
        text=True,
        check=False,
    )

    assert answer.returncode == 1
    assert answer.stderr.startswith("error: PREFECT_SERVER_API_AUTH_STRING: expected")


@pytest.mark.parametrize(
    ("named", "broker"),
    [
        (None, "flows.services.databases.messages"),
        ("PREFECT_MESSAGING_BROKER", "prefect_redis.messaging"),
        ("PREFECT_SERVER_EVENTS_MESSAGING_BROKER", "prefect_redis.messaging"),
    ],
)
def test_a_server_waits_for_its_database_unless_another_broker_is_named(
    monkeypatch: pytest.MonkeyPatch, named: str | None, broker: str
) -> None:
    for name in (*PREPARED, *BROKERS):
        monkeypatch.setenv(name, "")  # is put back after the test
        monkeypatch.delenv(name)
    if named:
        monkeypatch.setenv(named, broker)

    prepare_prefect([])

    assert Settings().server.events.messaging_broker == broker
