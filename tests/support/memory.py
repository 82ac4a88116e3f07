"""What a piece of work needs above what the process holds before it."""

import ctypes
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CLEAR_REFS = Path("/proc/self/clear_refs")  # Linux only
RESET_PEAK = "5"
M_MMAP_THRESHOLD = -3  # of mallopt(3)
APART, USUAL = 2**17, 2**25  # glibc's first threshold, and the one that it may reach


@contextmanager
def peak_bytes() -> Iterator[list[int]]:
    """Measure the most bytes that a block needs; the list holds them afterwards.

    Memory that was freed before and that glibc keeps goes back to the system first:
    else the block takes it again, and the process does not grow. Arrays have memory of
    their own in the block, which goes back as soon as they are freed: what glibc would
    keep of them differs from run to run. Where nothing lowers the peak of a process, as
    on macOS, the block counts only beyond it.
    """
    found: list[int] = []
    if not CLEAR_REFS.exists():
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        yield found
        found.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
        return
    glibc = ctypes.CDLL(None)
    glibc.mallopt(M_MMAP_THRESHOLD, APART)
    try:
        glibc.malloc_trim(0)
        CLEAR_REFS.write_text(RESET_PEAK)
        before = _status("VmRSS")
        yield found
        found.append(_status("VmHWM") - before)
    finally:
        glibc.mallopt(M_MMAP_THRESHOLD, USUAL)


def _status(line: str) -> int:
    """Bytes of a line of this process's status."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(s.split()[1]) for s in lines if s.startswith(line))
