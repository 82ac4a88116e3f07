"""Servers that tests talk to: real ones, on loopback, with their data in a folder."""

import glob
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import psutil
import pytest

T = TypeVar("T")
PORTS = range(10240, 32768)  # the kernel gives outgoing connections higher ones
STARTS_S = 120  # the first start makes a database; CI is slow


def free_port() -> int:
    """A port that nobody uses, and that no outgoing connection is given meanwhile.

    Tests that run at once draw different ones.
    """
    while True:
        port = PORTS[secrets.randbelow(len(PORTS))]
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + STARTS_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended:\n{log.read_text()}")
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            time.sleep(0.1)
    raise TimeoutError(f"{url} does not answer:\n{log.read_text()}")


@contextmanager
def running(
    words: list[str], *, health: str, log: Path, environment: dict[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """A server from when it answers until the end of the block."""
    with log.open("ab") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", *words],
            env={**os.environ, **environment},
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_for(health, process, log)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def prefect_server(folder: Path, *, port: int | None = None) -> Iterator[str]:
    """A Prefect server; yields PREFECT_API_URL. Its log is FOLDER/server.log."""
    port = port or free_port()
    api = f"http://127.0.0.1:{port}/api"
    environment = {
        "PREFECT_HOME": str(folder),
        "PREFECT_API_URL": api,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }
    words = ["prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "server.log"
    with running(words, health=f"{api}/health", log=log, environment=environment):
        yield api


@contextmanager
def mlflow_server(folder: Path, *, port: int | None = None) -> Iterator[str]:
    """An MLflow server; yields MLFLOW_TRACKING_URI. Its log is FOLDER/server.log."""
    port = port or free_port()
    folder.mkdir(parents=True, exist_ok=True)
    words = ["mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    words += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--workers", "1"]
    words += ["--artifacts-destination", str(folder / "artifacts")]
    url = f"http://127.0.0.1:{port}"
    environment = {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "1",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # seven processes more
    }
    log = folder / "server.log"
    with running(words, health=f"{url}/health", log=log, environment=environment):
        yield url


@contextmanager
def prefect_worker(
    api: str, pool: str, name: str, folder: Path, **environment: str
) -> Iterator[subprocess.Popen[bytes]]:
    """A worker of a work pool, in a process group of its own, once it is online.

    Its log is FOLDER/NAME.log.
    """
    words = ["prefect", "worker", "start", "--pool", pool, "--type", "process"]
    words += ["--name", name, "--limit", "1"]
    more = {
        "PREFECT_API_URL": api,
        "PREFECT_HOME": str(folder),
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "PREFECT_WORKER_HEARTBEAT_SECONDS": "2",
        **environment,
    }
    log = folder / f"{name}.log"
    with log.open("ab") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", *words],
            env={**os.environ, **more},
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_until(
            lambda: "started!" in log.read_text(), what=f"{name} starts", log=log
        )
        yield process
    finally:
        end_tree(process)


def wait_until(
    holds: Callable[[], T],
    seconds: float = 120,
    *,
    what: str = "",
    log: Path | None = None,
    often_s: float = 0.2,
) -> T:
    """Wait until something is true, and return it; what a log says goes along."""
    deadline = time.monotonic() + seconds
    while not (found := holds()):
        if time.monotonic() > deadline:
            said = f":\n{log.read_text()[-3000:]}" if log and log.is_file() else ""
            raise TimeoutError(f"{what or 'it'}: not within {seconds:g} s{said}")
        time.sleep(often_s)
    return found


def end_tree(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and all that it started."""
    try:
        family = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        family = []
    process.kill()
    for member in family:
        with suppress(psutil.NoSuchProcess):
            member.kill()
    process.wait()


@contextmanager
def postgres_server(folder: Path) -> Iterator[str]:
    """A PostgreSQL; yields PREFECT_SERVER_DATABASE_CONNECTION_URL, with a password.

    It refuses root, so that root starts it as the user postgres.
    """
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
    path = os.pathsep.join([os.environ.get("PATH", ""), *found[-1:]])
    initdb, postgres = (
        shutil.which(name, path=path) for name in ("initdb", "postgres")
    )
    if initdb is None or postgres is None:
        pytest.skip("PostgreSQL (initdb) is not installed")
    data, log, port = folder / "data", folder / "postgres.log", free_port()
    data.mkdir(parents=True)
    (folder / "password").write_text("s3cret-word\n")
    user: list[str] = []
    if os.geteuid() == 0:
        user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        for path_of_root in (folder, data, folder / "password"):
            shutil.chown(path_of_root, "postgres", "postgres")
        for above in folder.parents:  # pytest's folders are its user's own
            if above.stat().st_uid == 0 and above != Path("/"):
                above.chmod(above.stat().st_mode | 0o011)
    words = [
        "--username=segpipe",
        f"--pwfile={folder / 'password'}",
        "--auth=scram-sha-256",
    ]
    subprocess.run(
        [*user, initdb, "-D", str(data), "--no-sync", *words],
        check=True,
        capture_output=True,
        cwd="/",
    )
    words = ["-D", str(data), "-k", str(data), "-p", str(port), "-h", "127.0.0.1"]
    with log.open("wb") as file:
        process = subprocess.Popen(
            [*user, postgres, *words], stdout=file, stderr=file, cwd="/"
        )
    try:
        wait_for_port(port, process, log)
        yield f"postgresql+asyncpg://segpipe:s3cret-word@127.0.0.1:{port}/postgres"
    finally:
        process.terminate()
        process.wait(30)


def wait_for_port(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + STARTS_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended:\n{log.read_text()}")
        if "ready to accept connections" in log.read_text():
            return
        time.sleep(0.1)
    raise TimeoutError(f"port {port} does not answer:\n{log.read_text()}")
