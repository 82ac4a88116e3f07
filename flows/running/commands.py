"""Commands: run programs from a flow, with their output in the run's log."""

import collections
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ParamSpec, TypeVar

from prefect import Task, get_run_logger, task
from prefect.cache_policies import NO_CACHE

from flows.running.guard import PARENT
from segpipe.project.progress import heard, speaking

P = ParamSpec("P")
R = TypeVar("R")
DELAYS_S: list[float] = [5, 30, 120]  # before each new try
LINES_SHOWN = 20  # of a command that failed
HINTS = (  # of dvc, meant for people at a terminal
    "To track the changes with git, run:",
    "To enable auto staging, run:",
    "Use `dvc push` to send your updates",
    "\tgit add ",
    "\tdvc config core.autostage",
)
PATIENCE_S = 30.0  # for a guard that was told to end its command


class CommandError(RuntimeError):
    """A command failed; the message is the end of its output."""


def retried(name: str) -> Callable[[Callable[P, R]], Task[P, R]]:
    """Decorator of a task that needs a remote: a failure is tried again three times.

    Args:
        name: Name of its task runs.
    """
    return task(
        task_run_name=name,
        cache_policy=NO_CACHE,
        retries=len(DELAYS_S),
        retry_delay_seconds=DELAYS_S,
    )


def stream(
    root: str, words: list[str], *, watch: Callable[[str], None] | None = None
) -> list[str]:
    """Run a module of this environment, and log its output line by line.

    The command and its children end with the flow, even if it is cancelled or killed.

    Args:
        root: Working directory.
        words: Module and arguments, after ``python -m``.
        watch: Called with each line; an exception that it raises ends the command.

    Returns:
        The last lines of the output.

    Raises:
        CommandError: If the exit status is not 0.
    """
    log = get_run_logger()
    last: collections.deque[str] = collections.deque(maxlen=LINES_SHOWN)
    with subprocess.Popen(
        [sys.executable, "-m", "flows.running.guard", sys.executable, "-m", *words],
        cwd=root,
        env={**environ(), PARENT: str(os.getpid())},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            with speaking(" ".join(words), say=log.info):
                for text in _lines(process):
                    log.info(text)
                    heard()
                    last.append(text)
                    if watch is not None:
                        watch(text)
        except BaseException:
            process.terminate()
            _wait(process)
            raise
    if process.returncode != 0:
        raise CommandError(
            f"{' '.join(words)} ended with {process.returncode}:\n" + "\n".join(last)
        )
    return list(last)


def _lines(process: subprocess.Popen[str]) -> Iterator[str]:
    assert process.stdout is not None
    for line in process.stdout:
        text = line.rstrip()
        if text and not text.startswith(HINTS):
            yield text


def _wait(process: subprocess.Popen[str]) -> None:
    """Wait for the guard, which takes some time to end its command gracefully."""
    try:
        process.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()


def output(root: str | Path, words: list[str], *, missing: str | None = None) -> str:
    """Output of a module of this environment, such as ``dvc stage list``.

    Args:
        root: Working directory.
        words: Module and arguments, after ``python -m``.
        missing: Output to return if the command fails; None lets it fail.

    Raises:
        CommandError: If the exit status is not 0.
    """
    try:
        return _answer(root, [sys.executable, "-m", *words])
    except CommandError:
        if missing is None:
            raise
        return missing


def git(
    root: str | Path, *words: str, environment: dict[str, str] | None = None
) -> str:
    """Output of a git command, without surrounding white space.

    Raises:
        CommandError: If git fails.
    """
    return _answer(root, ["git", *words], environment).strip()


def _answer(
    root: str | Path, words: list[str], environment: dict[str, str] | None = None
) -> str:
    answer = subprocess.run(
        words,
        cwd=root,
        env={**environ(), **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if answer.returncode != 0:
        said = answer.stderr.strip() or answer.stdout.strip()
        raise CommandError(f"{' '.join(words)}:\n{said}")
    return answer.stdout


def environ() -> dict[str, str]:
    """Variables of a command: this environment's python first, output unbuffered."""
    bin_folder = str(Path(sys.executable).parent)
    path = os.pathsep.join([bin_folder, os.environ.get("PATH", "")])
    ours = {
        "PATH": path,
        "DVC_NO_ANALYTICS": "1",
        "PYTHONUNBUFFERED": "1",
        "GIT_TERMINAL_PROMPT": "0",
    }
    return {**os.environ, **ours}
