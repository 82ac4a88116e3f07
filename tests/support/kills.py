"""Kill an action before each of its steps on files, repeat it, and compare the ends."""

import os
import signal
import sys
from collections.abc import Callable
from concurrent.futures import Executor
from itertools import count
from pathlib import Path

STEPS = ("os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.symlink")
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
Act = Callable[[Path], None]


def count_kills(
    forker: Executor,
    place: Path,
    *,
    prepare: Act,
    act: Act,
    repeat: Act | None = None,
) -> int:
    """Kill an action before its first step, its second, and so on to its end.

    Args:
        forker: A process of one thread, so that it may fork: of the fixture forker.
        place: An empty folder.
        prepare: Writes the folder that the action works in; a function of a module, as
            the others are.
        act: The action.
        repeat: How it is repeated; as it was done if left out.

    Returns:
        The number of steps. After each kill, the repeated action left the same files
        with the same bytes, and the same folders, as one that nobody killed.
    """
    words = (place, prepare, act, repeat or act)
    return forker.submit(_kill_everywhere, *words).result()


def _kill_everywhere(place: Path, prepare: Act, act: Act, repeat: Act) -> int:
    whole = place / "whole"
    prepare(whole)
    act(whole)
    expected = contents(whole)
    for step in count():
        folder = place / str(step)
        prepare(folder)
        killed = _killed(folder, act, step)
        if killed:
            repeat(folder)
        found = contents(folder)
        differing = {name for name, _ in found.items() ^ expected.items()}
        assert not differing, f"killed before step {step}: {sorted(differing)}"
        if not killed:
            return step
    raise AssertionError("unreachable")


def check_each_kill(
    forker: Executor, place: Path, *, prepare: Act, act: Act, check: Act
) -> int:
    """Kill an action before each of its steps, and check what each kill leaves.

    Returns:
        The number of steps.
    """
    return forker.submit(_check_everywhere, place, prepare, act, check).result()


def _check_everywhere(place: Path, prepare: Act, act: Act, check: Act) -> int:
    for step in count():
        folder = place / str(step)
        prepare(folder)
        killed = _killed(folder, act, step)
        check(folder)
        if not killed:
            return step
    raise AssertionError("unreachable")


def _killed(folder: Path, act: Act, step: int) -> bool:
    """Act in a process that is killed before this step; False if it ends before."""
    process = os.fork()
    if process == 0:
        status = 1
        try:
            _kill_before(step)
            act(folder)
            status = 0
        finally:
            os._exit(status)
    _, ended = os.waitpid(process, 0)
    assert ended in (0, signal.SIGKILL)
    return ended != 0


def _kill_before(step: int) -> None:
    """Kill this process before a step from now on that changes files."""
    left = step

    def look(event: str, words: tuple[object, ...]) -> None:
        nonlocal left
        opened = event == "open" and isinstance(words[2], int) and words[2] & WRITES
        if opened or event in STEPS:
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1

    sys.addaudithook(look)


def contents(folder: Path) -> dict[str, bytes | None]:
    """The bytes of all files, hidden ones too; None for a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        if path.is_file()
        else None
        for path in folder.rglob("*")
    }
