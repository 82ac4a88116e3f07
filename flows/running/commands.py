"""Commands: the programs that flows run, their output in the run's log."""

import collections
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from prefect import get_run_logger

LINES_SHOWN = 20  # of a command that failed
HINTS = (  # of dvc, for people at a terminal
    "To track the changes with git, run:",
    "To enable auto staging, run:",
    "Use `dvc push` to send your updates",
    "\tgit add ",
    "\tdvc config core.autostage",
)
PATIENCE_S = 30.0  # with a guard that was told to end its command


class CommandError(RuntimeError):
    """A command ended badly; its last lines are the message."""


def stream(
    root: str, words: list[str], *, watch: Callable[[str], None] | None = None
) -> list[str]:
    """Run a module of this environment, logging what it says as it says it.

    However the flow ends, cancelled or killed, the command and its children end too.

    Args:
        root: Where to run it.
        words: ``python -m`` these.
        watch: Sees each line, too; what it raises ends the command.

    Returns:
        The last lines.

    Raises:
        CommandError: If it ends with anything but 0.
    """
    log = get_run_logger()
    last: collections.deque[str] = collections.deque(maxlen=LINES_SHOWN)
    with subprocess.Popen(
        [sys.executable, "-m", "flows.running.guard", sys.executable, "-m", *words],
        cwd=root,
        env=environ(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            for text in _lines(process):
                log.info(text)
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
    """Wait for the guard, which needs a while to end its command politely."""
    try:
        process.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()


def output(root: str | Path, words: list[str], *, missing: str | None = None) -> str:
    """What a module of this environment writes, such as ``dvc stage list``.

    Args:
        root: Where to run it.
        words: ``python -m`` these.
        missing: What a refusal means, if it is an answer, too.

    Raises:
        CommandError: If it ends with anything but 0.
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
    """What git answers, without the last line break.

    Raises:
        CommandError: If it refuses.
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
    """Commands find this environment's python first, which holds no line back."""
    bin_folder = str(Path(sys.executable).parent)
    path = os.pathsep.join([bin_folder, os.environ.get("PATH", "")])
    ours = {
        "PATH": path,
        "DVC_NO_ANALYTICS": "1",
        "PYTHONUNBUFFERED": "1",
        "GIT_TERMINAL_PROMPT": "0",
    }
    return {**os.environ, **ours}
