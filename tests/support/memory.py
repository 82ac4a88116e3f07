"""What a piece of work needs above what the process holds before it."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

CLEAR_REFS = Path("/proc/self/clear_refs")
RESET_PEAK = "5"


@contextmanager
def peak_bytes() -> Iterator[list[int]]:
    """Measure the most bytes that a block needs; the list holds them afterwards.

    Memory that was freed before and that glibc keeps goes back to the system first:
    else the block takes it again, and the process does not grow. It is not ru_maxrss,
    which a fork inherits and which nothing lowers. Elsewhere than on Linux the test is
    skipped.
    """
    if not CLEAR_REFS.exists():
        pytest.skip("needs Linux, which tells the peak of a process")
    found: list[int] = []
    ctypes.CDLL(None).malloc_trim(0)
    CLEAR_REFS.write_text(RESET_PEAK)
    before = _status("VmRSS")
    yield found
    found.append(_status("VmHWM") - before)


def _status(line: str) -> int:
    """Bytes of a line of this process's status."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(s.split()[1]) for s in lines if s.startswith(line))
