"""A run without PREFECT_API_URL has a server of its own that answers nobody else."""

import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from prefect.settings import PREFECT_API_URL, get_current_settings, temporary_settings

from flows.running.temporary import close_temporary_server
from tests.support.places import ROOT
from tests.support.servers import end_tree, wait_until

FLOW = """\
import time
from pathlib import Path

from prefect import flow, task

from flows.running.temporary import by_hand


@task
def answer() -> int:
    return 42


@flow
def wait() -> None:
    Path("answer").write_text(str(answer()))
    deadline = time.monotonic() + 300
    while not Path("go").exists() and time.monotonic() < deadline:
        time.sleep(0.1)


with by_hand("wait"):
    wait()
"""
EVIL = {"Origin": "https://evil.example"}
REBOUND = {"Host": "evil.example:8000", "Origin": "http://evil.example:8000"}
PREFLIGHT = {**EVIL, "Access-Control-Request-Method": "POST"}
TEXT = {**EVIL, "Content-Type": "text/plain"}
WRONG = {"Authorization": "Basic c2VncGlwZTpndWVzcw=="}  # segpipe:guess
READ, WRITE = "admin/version", "flows/filter"
ATTACKS: dict[str, tuple[str, str, dict[str, str]]] = {
    "a plain curl that reads": ("GET", READ, {}),
    "a plain curl that writes": ("POST", WRITE, {}),
    "a program with a wrong password": ("GET", READ, WRONG),
    "another page that reads": ("GET", READ, EVIL),
    "another page that writes": ("POST", WRITE, EVIL),
    "another page that writes without a preflight": ("POST", WRITE, TEXT),
    "another page that asks whether it may": ("OPTIONS", WRITE, PREFLIGHT),
    "a rebound name that reads": ("GET", READ, REBOUND),
    "a rebound name that writes": ("POST", WRITE, REBOUND),
}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The temporary server's address while the flow runs; then the flow completes."""
    folder = tmp_path_factory.mktemp("temporary")
    (folder / "waiting.py").write_text(FLOW)
    unset = ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING")
    environment = {k: v for k, v in os.environ.items() if k not in unset}
    environment |= {
        "PREFECT_HOME": str(folder / "home"),
        "PYTHONPATH": str(ROOT),
    }
    log = folder / "log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "waiting.py"],
            cwd=folder,
            env=environment,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_until((folder / "answer").exists, what="the flow runs", log=log)
        (found,) = re.findall(r"temporary server on (http://[\d.:]+)", log.read_text())
        yield f"{found}/api"
        (folder / "go").touch()
        assert process.wait(60) == 0, log.read_text()
        assert "Completed" in log.read_text()
        assert (folder / "answer").read_text() == "42"
    finally:
        end_tree(process)


@pytest.mark.slow
@pytest.mark.parametrize("name", ATTACKS)
def test_nobody_else_is_let_in(api: str, name: str) -> None:
    method, path, headers = ATTACKS[name]
    body = b"{}" if method == "POST" else None
    given = {"Content-Type": "application/json", **headers}
    request = urllib.request.Request(f"{api}/{path}", body, given, method=method)

    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=10)
    refused.value.close()
    assert refused.value.code in (400, 401, 403)
    assert "access-control-allow-origin" not in refused.value.headers


def test_a_server_that_was_chosen_keeps_its_login() -> None:
    before = dict(os.environ)
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:4200/api"}):
        close_temporary_server()

        assert get_current_settings().api.auth_string is None
    assert dict(os.environ) == before


def test_the_page_counts_the_attacks() -> None:
    page = (ROOT / "docs" / "how-to" / "servers.md").read_text(encoding="utf-8")

    assert f"tested: {len(ATTACKS)} attacks are refused" in page


def test_every_flow_that_runs_by_hand_closes_it() -> None:
    by_hand = {
        path.stem: path.read_text(encoding="utf-8").split("\ndef main(")[1]
        for path in (ROOT / "flows").glob("*.py")
        if "\ndef main(" in path.read_text(encoding="utf-8")
    }

    assert {"reproduce", "retrain", "segment"} <= set(by_hand)
    for name, main in by_hand.items():
        call = rf'\n    try:\n        with by_hand\("{name}"\):\n +.*\b{name}\('
        assert re.search(call, main), name
