"""Processes that are forked from a warm one, so that torch is imported once for all.

The warm process has one thread and has never trained: what is forked from it may. The
checks of shapes, which pytest installs, are in none of them.
"""

import multiprocessing
import os
import signal
from collections.abc import Callable
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["segpipe.stages.train", "tests.support.projects"])
LIMIT_S = 240  # below the limit of a whole test


def start(work: Callable[..., None], *words: Any, **environment: str) -> BaseProcess:
    """Begin a function of a module in a process of its own.

    It dies by SIGALRM after LIMIT_S, so that nobody can wait for ever, and with pytest.

    Args:
        work: The function.
        *words: Its arguments.
        **environment: Variables of the environment that it sees.
    """
    process = FORKS.Process(target=_begin, args=(work, words, environment), daemon=True)
    process.start()
    return process


def _begin(
    work: Callable[..., None], words: tuple[Any, ...], environment: dict[str, str]
) -> None:
    signal.alarm(LIMIT_S)
    os.environ.update(environment)
    work(*words)


def finish(*processes: BaseProcess) -> None:
    """Wait for processes and demand that each ends well; one that fails ends all."""
    while alive := [process for process in processes if process.is_alive()]:
        wait([process.sentinel for process in alive])  # each dies after LIMIT_S
        if any(process.exitcode for process in processes):
            for process in alive:
                process.kill()
    assert [process.exitcode for process in processes] == [0] * len(processes)


def answer(work: Callable[..., str], file: Path, *words: Any) -> str:
    """What a function of a module returns, called in a process of its own.

    Args:
        work: The function.
        file: Where the process writes its answer.
        *words: Arguments of the function.
    """
    finish(start(_write, file, work, words))
    return file.read_text()


def _write(file: Path, work: Callable[..., str], words: tuple[Any, ...]) -> None:
    file.write_text(work(*words))
