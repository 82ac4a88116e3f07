"""One start of real services for all: what it starts works, and ends with it."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from flows.services.daemons import MARK, family, lives
from flows.services.ports import listener, owner
from flows.services.services import Services, Starter, clear, read_services, start, stop
from segpipe.project.errors import DataError
from tests.support.deployed import ask, build_project, run, state
from tests.support.servers import free_port, postgres_server, wait_until

pytestmark = [
    pytest.mark.slow,
    # What outlives its shell outlives its Popen object.
    pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning"),
]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project whose services run; a silent run is lost after 20 s, not 90."""
    folder = build_project(tmp_path_factory.mktemp("services") / "project")
    code = (folder / "flows" / "deployments" / "automations.py").read_text()
    shorter = code.replace("seconds=90", "seconds=20")
    assert shorter != code
    (folder / "flows" / "deployments" / "automations.py").write_text(shorter)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEGPIPE_PREFECT_PORT", str(free_port()))
        patch.setenv("SEGPIPE_MLFLOW_PORT", str(free_port()))
        patch.setenv("CUDA_VISIBLE_DEVICES", "")
        patch.delenv("PREFECT_SERVER_DATABASE_CONNECTION_URL", raising=False)
        try:
            start(folder)
            yield folder
        finally:
            stop(folder)


@pytest.fixture(scope="module")
def services(root: Path) -> Services:
    return read_services(root)


@pytest.fixture(scope="module")
def lost(root: Path, services: Services) -> str:
    """A run whose worker and process were killed, maybe before its heart beat once."""
    number = run(services.api, "sleep", file="lost")
    process = wait_until(lambda: read_number(root / "lost.run"), 60)
    worker = services.running()["gpu-0"].find()
    assert worker is not None
    worker.kill()
    os.kill(process, signal.SIGKILL)
    return number


def read_number(file: Path) -> int:
    return int(file.read_text() or 0) if file.is_file() else 0


def test_the_servers_answer_and_a_worker_waits_in_each_pool(services: Services) -> None:
    with urllib.request.urlopen(services.mlflow, timeout=30) as answer:
        page = answer.read()
    pools = {
        pool: [
            worker["name"]
            for worker in ask(services.api, f"work_pools/{pool}/workers/filter", {})
        ]
        for pool in ("cpu", "gpu")
    }

    assert b"MLflow" in page
    assert pools == {"cpu": ["cpu"], "gpu": ["gpu-0"]}


def test_the_runs_of_a_cron_schedule_are_planned_and_one_runs(
    root: Path, services: Services, lost: str
) -> None:
    """With SQLAlchemy 2.1 a schedule of Prefect 3.8 never fires, in silence."""
    body = {"deployments": {"name": {"any_": ["tick"]}}, "sort": "START_TIME_ASC"}

    def runs(kind: str) -> list[object]:
        every = ask(services.api, "flow_runs/filter", body)
        return [
            each
            for each in every
            if each["auto_scheduled"] and each["state_type"] == kind
        ]

    planned = wait_until(lambda: runs("SCHEDULED"), 30)
    ran = wait_until(lambda: runs("COMPLETED"), 100)

    assert planned
    assert ran
    assert (root / "ticked").read_text() == "none"
    assert not errors(root)


def errors(root: Path) -> list[str]:
    log = (root / ".services" / "logs" / "prefect.log").read_text()
    return [line for line in log.splitlines() if re.search(r"\bERROR\b", line)]


def test_a_run_whose_worker_was_killed_ends_as_crashed(
    root: Path, services: Services, lost: str
) -> None:
    wait_until(lambda: state(services.api, lost) == "CRASHED", 60)

    message = ask(services.api, f"flow_runs/{lost}")["state"]["message"]
    assert "No heartbeat for 20 s" in message
    command = read_number(root / "lost")  # its guard ends it
    wait_until(lambda: not psutil.pid_exists(command), 30)


def test_a_second_start_starts_what_died_and_nothing_else(
    root: Path, services: Services, lost: str
) -> None:
    before = services.running()
    deployment = ask(services.api, "deployments/name/together/together")
    (schedule,) = deployment["schedules"]
    patch = urllib.request.Request(
        f"{services.api}/deployments/{deployment['id']}/schedules/{schedule['id']}",
        data=b'{"active": true}',
        headers={"Content-Type": "application/json"},
        method="PATCH",
    )
    urllib.request.urlopen(patch, timeout=30).close()

    after = start(root).running()

    assert set(before) == {"prefect", "mlflow", "cpu"}
    assert set(after) == {*before, "gpu-0"}
    assert {name: after[name] for name in before} == before
    deployment = ask(services.api, "deployments/name/together/together")
    assert [each["active"] for each in deployment["schedules"]] == [True]
    assert len(ask(services.api, "automations/filter", {})) == 1


def test_a_port_that_another_has_is_an_error_that_names_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        monkeypatch.setenv("SEGPIPE_PREFECT_PORT", str(port))
        with pytest.raises(DataError, match=rf"{port}.*SEGPIPE_PREFECT_PORT=") as error:
            start(tmp_path)

    assert f"process {os.getpid()}" in str(error.value)
    assert not (tmp_path / ".services" / "services.json").exists()


def test_what_a_killed_server_left_on_its_port_gives_way(tmp_path: Path) -> None:
    """MLflow's server is a child of the command, which alone may have been killed."""
    port = free_port()
    words = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]
    mark = {MARK: str(tmp_path / ".services")}
    with subprocess.Popen(
        words, env={**os.environ, **mark}, stderr=subprocess.DEVNULL
    ) as left:
        wait_until(lambda: listener(port) is not None, 20)

        clear(Starter(tmp_path, read_services(tmp_path)), "mlflow", port)

        assert left.wait(10) != 0
    assert owner(port) is None


def test_a_start_that_fails_leaves_nothing_behind_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = build_project(tmp_path / "project")
    nowhere = "postgresql+asyncpg://segpipe:s3cret-word@127.0.0.1:1/none"
    monkeypatch.setenv("PREFECT_SERVER_DATABASE_CONNECTION_URL", nowhere)
    monkeypatch.setenv("SEGPIPE_PREFECT_PORT", str(free_port()))
    monkeypatch.setenv("SEGPIPE_MLFLOW_PORT", str(free_port()))

    with pytest.raises(
        DataError, match=r"(?s)prefect\.log.*Connect call failed"
    ) as error:
        start(folder)

    assert "s3cret-word" not in str(error.value)
    assert not family([], folder / ".services")


def test_stop_ends_all_that_was_started_and_nothing_else(
    root: Path, services: Services
) -> None:
    number = run(services.api, "sleep", file="stopped")
    sleeper = psutil.Process(wait_until(lambda: read_number(root / "stopped"), 60))
    with subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE
    ) as other:
        before = family(read_services(root).daemons, root / ".services")
        ended = stop(root)

        assert other.poll() is None
    assert number
    assert sleeper in before
    assert (
        len(before) >= 8
    )  # four services, MLflow's own, the run, its guard and command
    assert set(ended) == {"prefect", "mlflow", "cpu", "gpu-0"}
    assert not family(services.daemons, root / ".services")
    assert not [process for process in before if lives(process)]
    assert stop(root) == []


def test_on_postgres_tasks_run_side_by_side_and_no_password_is_kept(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path_factory.mktemp("postgres")
    with postgres_server(folder / "server") as url:
        monkeypatch.setenv("PREFECT_SERVER_DATABASE_CONNECTION_URL", url)
        monkeypatch.setenv("SEGPIPE_PREFECT_PORT", str(free_port()))
        monkeypatch.setenv("SEGPIPE_MLFLOW_PORT", str(free_port()))
        root = build_project(folder / "project")
        try:
            api = start(root).api
            numbers = [run(api, "together") for _ in range(2)]
            for number in numbers:
                wait_until(lambda number=number: state(api, number) == "COMPLETED", 90)
            time.sleep(1)
        finally:
            stop(root)

        assert not errors(root)
        assert not (root / ".services" / "prefect" / "prefect.db").exists()
        for file in (root / ".services").rglob("*"):
            assert not file.is_file() or b"s3cret-word" not in file.read_bytes()
