"""case_lock: of several runs on one folder, one does a case."""

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MAPS = r"(_(probability_[^/]*|entropy|disagreement|instances|overlay))?"


@contextmanager
def case_lock(output: Path, case: str) -> Iterator[bool]:
    """Hold a case while it is done.

    The kernel gives the lock up when the process ends, however it ends; what a killed
    one left under temporary names is removed by the next that holds it.

    Args:
        output: Folder for the results.
        case: Name of the case.

    Yields:
        Whether it is ours; if not, another run does it now.
    """
    path = output / f"{case}.lock"
    path = path.with_name(f".{path.name}")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        if not _take(file.fileno(), path):
            yield False
            return
        try:
            remove_parts(output, case)
            yield True
        finally:
            path.unlink(missing_ok=True)


def _take(descriptor: int, path: Path) -> bool:
    """Lock the file, unless its owner removed it between our open and our lock."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except (BlockingIOError, FileNotFoundError):
        return False


def remove_parts(output: Path, case: str) -> None:
    """Remove the half-written outputs of a case; call it while holding the lock."""
    stem = output / case
    name = re.compile(rf"\.{re.escape(stem.name)}{MAPS}(\.\w+)+\.part")
    for path in stem.parent.glob(".*.part"):
        if name.fullmatch(path.name):
            path.unlink(missing_ok=True)
