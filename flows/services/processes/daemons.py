"""Daemons: processes that outlive their shell and can all be found and ended again.

A process is identified by its number and its start time, as numbers are reused. The
processes that it starts carry a mark in their environment, so that they are found even
if the process between was killed.
"""

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil

from segpipe.project.documents import Document

MARK = "SEGPIPE_SERVICES"  # the folder of the services that started it
CLOCK_S = 2.0  # psutil derives the start from the clock, which may be set
LOOKS_S = 0.1


class Daemon(Document):
    """A process that was started; it may have ended since.

    Attributes:
        name: Name of the service; its log is logs/NAME.log.
        pid: Process number.
        started_s: Start time, in seconds since 1970.
    """

    name: str
    pid: int
    started_s: float

    def find(self) -> psutil.Process | None:
        """The process if it is alive; None if it ended or another has its number."""
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
        name: Name of the daemon.
        words: Module and arguments, after ``python -m``.
        root: Working directory.
        environment: All of its environment variables; MARK should be one of them.
        log: File to which its output is appended.
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
    """Whether a process runs; a zombie does not."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def parent(process: psutil.Process) -> psutil.Process | None:
    """The process that started another, if it is still there."""
    try:
        return process.parent()
    except psutil.NoSuchProcess:
        return None


def family(daemons: Iterable[Daemon], mark: Path | None = None) -> set[psutil.Process]:
    """All living processes of some daemons and their descendants.

    Args:
        daemons: The daemons.
        mark: Processes with this mark belong to them, too, whoever started them.

    Returns:
        The processes, without this process and its ancestors.
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
    except (psutil.Error, OSError):  # it ended, or belongs to another user
        return False


def end(
    heads: Iterable[psutil.Process],
    everyone: Callable[[], set[psutil.Process]],
    *,
    patience_s: float,
) -> None:
    """Terminate the heads, wait until no process is left, kill those that remain.

    Args:
        heads: Processes that are terminated; they end their own children.
        everyone: Processes that must be gone; called repeatedly, as some start others.
        patience_s: Seconds to wait before killing.
    """
    for process in heads:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    deadline = time.monotonic() + patience_s
    while (left := everyone()) and time.monotonic() < deadline:
        time.sleep(LOOKS_S)
    while left:
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        time.sleep(LOOKS_S)
        left = everyone()


def last_lines(log: Path, number: int = 20) -> str:
    """The last lines of a log."""
    lines = log.read_text(errors="replace").splitlines() if log.is_file() else []
    return "\n".join(lines[-number:])
