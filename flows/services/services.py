"""services: start and stop Prefect, MLflow, the review and workers together."""

import contextlib
import fcntl
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import psutil

from flows.services.databases.stores import adopt_store, choose_store, keep_stores
from flows.services.environment import (
    build_environment,
    find_login,
    without_secrets,
)
from flows.services.processes.daemons import (
    Daemon,
    end,
    family,
    last_lines,
    launch,
    lives,
    parent,
)
from flows.services.processes.ports import answers, is_online, listener, owner
from flows.services.review import NAME as REVIEW
from flows.services.review import PORT as REVIEW_PORT
from flows.services.review import build_words, describe_lack
from flows.services.workers import build_workers
from segpipe.project.documents import Document
from segpipe.project.errors import DataError
from segpipe.project.progress import work

log = logging.getLogger(__name__)
FOLDER = ".services"
STARTS_S = 120.0  # the first start creates two databases
# A training that is asked to end first tells MLflow: flows/running/guard.py.
STOPS_S = 40.0
SERVERS = ("prefect", "mlflow", REVIEW)


class Services(Document):
    """The processes that were started, and their ports."""

    prefect_port: int
    mlflow_port: int
    review_port: int = REVIEW_PORT  # older documents have none
    daemons: tuple[Daemon, ...] = ()

    @property
    def api(self) -> str:
        """PREFECT_API_URL."""
        return f"http://127.0.0.1:{self.prefect_port}/api"

    @property
    def mlflow(self) -> str:
        """MLFLOW_TRACKING_URI."""
        return f"http://127.0.0.1:{self.mlflow_port}"

    @property
    def review(self) -> str:
        """Where the review is served on this machine."""
        return f"http://127.0.0.1:{self.review_port}"

    def environment(self, root: Path) -> dict[str, str]:
        """The variables of all services."""
        folder = root / FOLDER
        return build_environment(
            folder,
            api=self.api,
            mlflow=self.mlflow,
            review=self.review,
            login=find_login(folder),
        )

    def running(self) -> dict[str, Daemon]:
        """The services that are alive, by name."""
        return {each.name: each for each in self.daemons if each.find()}


def read_services(root: Path) -> Services:
    """Services of a project that still run; if none do, only the ports to use."""
    file = root / FOLDER / "services.json"
    review_port = _read_port("SEGPIPE_REVIEW_PORT", REVIEW_PORT)
    if file.is_file():
        there = Services.read(file)
        running = there.running()
        if running:
            kept = there.review_port if REVIEW in running else review_port
            found = {"daemons": tuple(running.values()), "review_port": kept}
            return there.model_copy(update=found)
    return Services(
        prefect_port=_read_port("SEGPIPE_PREFECT_PORT", 4200),
        mlflow_port=_read_port("SEGPIPE_MLFLOW_PORT", 5000),
        review_port=review_port,
    )


def _read_port(variable: str, default: int) -> int:
    text = os.environ.get(variable) or str(default)
    if not text.isdecimal() or not 0 < int(text) < 2**16:
        raise DataError(f"{variable}: expected a port from 1 to 65535, found {text}")
    return int(text)


class Starter:
    """Starts services one by one, and records each immediately.

    Attributes:
        services: The services that run.
        new: The processes that this start has started.
    """

    def __init__(self, root: Path, services: Services) -> None:
        self.root = root
        self.folder = root / FOLDER
        self.services = services
        self.new: list[Daemon] = []

    def log(self, name: str) -> Path:
        """Log file of a service."""
        return self.folder / "logs" / f"{name}.log"

    def launch(self, name: str, words: list[str], environment: dict[str, str]) -> None:
        """Start a service, unless it runs."""
        if name in self.services.running():
            log.info("%s: runs already", name)
            return
        file = self.log(name)
        log.info("%s: starts; its log is %s", name, file.relative_to(self.root))
        daemon = launch(name, words, root=self.root, environment=environment, log=file)
        self.new.append(daemon)
        daemons = (*self.services.running().values(), daemon)
        self.services = self.services.model_copy(update={"daemons": daemons})
        self.services.write(self.folder / "services.json")

    def wait(self, name: str, ready: Callable[[], bool]) -> None:
        """Wait until a service is ready.

        Raises:
            DataError: If it ends or takes too long; the message quotes its log.
        """
        began = time.monotonic()
        with work(f"waits for {name}"):
            while not ready():
                alive = name in self.services.running()
                if not alive or time.monotonic() > began + STARTS_S:
                    fault = "does not answer" if alive else "ended"
                    raise DataError(
                        f"{name}: expected it to start, it {fault}; the end of "
                        f"{self.log(name)}:\n{last_lines(self.log(name))}"
                    )
                time.sleep(0.1)
        if name in {each.name for each in self.new}:
            log.info("%s: ready after %.0f s", name, time.monotonic() - began)


def start(root: Path) -> Services:
    """Start what does not run yet, then deploy prefect.yaml.

    Raises:
        DataError: If a port is taken or a service does not start; the services that
            this start has started are stopped again.
    """
    with _locked(root):
        keep_stores(root / FOLDER)
        starter = Starter(root, read_services(root))
        adopt_store(root, root / FOLDER, running="mlflow" in starter.services.running())
        try:
            _start_servers(starter)
            _start_review(starter)
            _deploy(starter)
            _start_workers(starter)
        except BaseException:
            _end(starter.new)
            raise
        return starter.services


def _start_servers(starter: Starter) -> None:
    services, folder = starter.services, starter.folder
    environment = services.environment(starter.root)
    login = environment["PREFECT_API_AUTH_STRING"]
    clear(starter, "prefect", services.prefect_port)
    clear(starter, "mlflow", services.mlflow_port)
    words = ["flows.services.door", "prefect", "--port", str(services.prefect_port)]
    starter.launch("prefect", words, environment)
    store, files = choose_store(starter.root, folder)
    words = ["flows.services.door", "mlflow", "--port", str(services.mlflow_port)]
    words += ["--artifacts", str(files)]
    # In the environment: every user of the machine can read a command line.
    starter.launch("mlflow", words, {"MLFLOW_BACKEND_STORE_URI": store, **environment})
    _wait_closed(starter, "prefect", f"{services.api}/admin/version", login)
    _wait_closed(starter, "mlflow", f"{services.mlflow}/version", login)


def _start_review(starter: Starter) -> None:
    """Start the server of the review where review.yaml and its packages are there."""
    services = starter.services
    if lack := describe_lack(starter.root):
        log.info("%s: %s", REVIEW, lack)
        return
    clear(starter, REVIEW, services.review_port)
    environment = without_secrets(services.environment(starter.root))
    starter.launch(REVIEW, build_words(services.review_port), environment)
    starter.wait(REVIEW, lambda: answers(f"{services.review}/login"))


def _wait_closed(starter: Starter, name: str, url: str, login: str) -> None:
    """Wait until a server answers to the login, and make sure that it asks for it."""
    starter.wait(name, lambda: answers(url, login))
    if answers(url):
        raise DataError(
            f"{name}: expected it to ask for a password, it answers everybody, so an "
            "older segpipe started it; run `make stop`, then `make serve`"
        )


def clear(starter: Starter, name: str, port: int) -> None:
    """Make sure that a port is free; a leftover of our own killed server is ended.

    Raises:
        DataError: If another program uses the port.
    """
    if name in starter.services.running():
        return
    left = listener(port)
    if left and left in family((), starter.folder):
        end([left], lambda: {left} if lives(left) else set(), patience_s=10)
    if found := owner(port):
        raise DataError(
            f"port {port}: expected it free for {name}, found {found}; end that, or "
            f"use another port: SEGPIPE_{name.upper()}_PORT={port + 1} make serve"
        )


def _deploy(starter: Starter) -> None:
    said = starter.log("deployments")
    log.info("prefect.yaml: its deployments are written to Prefect")
    with said.open("wb") as file, work("waits for the deployments"):
        answer = subprocess.run(
            [sys.executable, "-m", "flows.deployments"],
            cwd=starter.root,
            env=without_secrets(starter.services.environment(starter.root)),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if answer.returncode != 0:
        raise DataError(f"prefect.yaml was not deployed: {said}:\n{last_lines(said)}")


def _start_workers(starter: Starter) -> None:
    services, since_s = starter.services, time.time()
    environment = without_secrets(services.environment(starter.root))
    login = environment["PREFECT_API_AUTH_STRING"]
    with work("looks for GPUs"):
        workers = build_workers(starter.folder)
    for worker in workers:
        own = {**environment, **worker.environment}
        starter.launch(worker.name, worker.words, own)
    new = {each.name for each in starter.new}
    for worker in workers:
        if worker.name in new:
            at = (services.api, worker.pool, worker.name, since_s, login)
            starter.wait(worker.name, partial(is_online, *at))


def stop(root: Path) -> list[str]:
    """End the services and everything that they started; returns their names."""
    with _locked(root):
        services = read_services(root)
        names = ", ".join(each.name for each in services.daemons)
        log.info("ends %s, runs first", names or "what may be left of the services")
        with work("waits for their end"):
            _end(services.daemons, mark=root / FOLDER)
        (root / FOLDER / "services.json").unlink(missing_ok=True)
    return [each.name for each in services.daemons]


def _end(daemons: Sequence[Daemon], mark: Path | None = None) -> None:
    """End runs first, then workers, then servers, so that each can report its end.

    A worker that is asked to end kills its runs, which then cannot report anything.
    """
    servers = [each for each in daemons if each.name in SERVERS]
    workers = [each for each in daemons if each not in servers]
    waiting = set(filter(None, (each.find() for each in workers)))

    def at_work() -> set[psutil.Process]:
        return family(daemons, mark) - family(servers)

    # A run ends its own child processes (flows/running/guard.py).
    runs = at_work() - waiting
    heads = {each for each in runs if parent(each) not in runs}
    end(heads, lambda: at_work() - waiting, patience_s=STOPS_S)
    end(waiting, at_work, patience_s=10)
    heads = set(filter(None, (each.find() for each in servers)))
    end(heads, lambda: family(daemons, mark), patience_s=10)


@contextlib.contextmanager
def _locked(root: Path) -> Iterator[None]:
    """Exclude other starts and stops: two starts at once would start services twice."""
    (root / FOLDER / "logs").mkdir(parents=True, exist_ok=True)
    (root / FOLDER).chmod(0o700)  # databases, logs and the password are its user's own
    with (root / FOLDER / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
