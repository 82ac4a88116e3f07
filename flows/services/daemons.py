"""Daemons: processes that outlive their shell, and that can be ended, every one.

A process is known again by its number and its start: numbers are used a second time.
What they start carries their mark in its environment, so that it is found even where
the process between the two was killed.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil

from segpipe.project.documents import Document

MARK = "SEGPIPE_SERVICES"  # the folder of those who started it
CLOCK_S = 2.0  # psutil takes the start from the clock, which may be set
LOOKS_S = 0.1


class Daemon(Document):
    """A process that was started, wherever it is now.

    Attributes:
        name: Its log is logs/NAME.log.
        pid: Its number.
        started_s: When it started, in seconds since 1970.
    """

    name: str
    pid: int
    started_s: float

    def find(self) -> psutil.Process | None:
        """The process if it lives; None if it ended or another has its number."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started_s) < CLOCK_S
        except psutil.NoSuchProcess:
            return None
        return process if same and lives(process) else None


def launch(
    name: str, words: list[str], *, root: Path, environment: dict[str, str], log: Path
) -> Daemon:
    """Start a module of this environment in a session of its own.

    Args:
        name: What to call it.
        words: ``python -m`` these.
        root: Where it runs.
        environment: All of its variables; MARK should be one of them.
        log: What it says is added to this file.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", *words],
            cwd=root,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    started = psutil.Process(process.pid).create_time()
    return Daemon(name=name, pid=process.pid, started_s=started)


def lives(process: psutil.Process) -> bool:
    """Whether it runs; one that ended and that nobody fetched does not."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def parent(process: psutil.Process) -> psutil.Process | None:
    """Who has started it; None if nobody of them is left."""
    try:
        return process.parent()
    except psutil.NoSuchProcess:
        return None


def family(daemons: Iterable[Daemon], mark: Path | None = None) -> set[psutil.Process]:
    """All living processes of daemons: they, and what descends from them.

    Args:
        daemons: Some of them.
        mark: Processes with this mark count, too, whoever has started them.

    Returns:
        Never this process or one above it.
    """
    found = {process for daemon in daemons if (process := daemon.find())}
    for process in list(found):
        found |= _descendants(process)
    if mark:
        found |= {each for each in psutil.process_iter() if _is_marked(each, mark)}
    ours = psutil.Process()
    return {process for process in found - {ours, *ours.parents()} if lives(process)}


def _descendants(process: psutil.Process) -> set[psutil.Process]:
    try:
        return set(process.children(recursive=True))
    except psutil.NoSuchProcess:
        return set()


def _is_marked(process: psutil.Process, mark: Path) -> bool:
    try:
        return bool(process.environ().get(MARK) == str(mark))
    except (psutil.Error, OSError):  # ended meanwhile, or another user's
        return False


def end(
    heads: Iterable[psutil.Process],
    everyone: Callable[[], set[psutil.Process]],
    *,
    patience_s: float,
) -> None:
    """Ask the heads to end, wait until nobody is left, kill who is.

    Args:
        heads: Those who are asked; they see to the others.
        everyone: Who has to be gone; asked again and again, as some start others.
        patience_s: How long to wait before killing.
    """
    for process in heads:
        _tell(process, process.terminate)
    deadline = time.monotonic() + patience_s
    while (left := everyone()) and time.monotonic() < deadline:
        time.sleep(LOOKS_S)
    while left:
        for process in left:
            _tell(process, process.kill)
        time.sleep(LOOKS_S)
        left = everyone()


def _tell(process: psutil.Process, what: Callable[[], None]) -> None:
    try:
        what()
    except psutil.NoSuchProcess:
        return


def last_lines(log: Path, number: int = 20) -> str:
    """The end of a log."""
    lines = log.read_text(errors="replace").splitlines() if log.is_file() else []
    return "\n".join(lines[-number:])
