"""Watchdog: ends a process in which nothing happens any more, and says where it hangs.

A stalled training, on a dead disk or a hung driver, would otherwise hold its machine
for ever; what it did so far lies in its checkpoint.
"""

import faulthandler
import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)
STALLED = 75  # the exit status of a temporary failure: run it again
MINUTES = 60.0


def patience_minutes() -> float:
    """SEGPIPE_STALL_MINUTES, else an hour; it changes no result."""
    return float(os.environ.get("SEGPIPE_STALL_MINUTES") or MINUTES)


@contextmanager
def watch(minutes: float, what: str) -> Iterator[Callable[[], None]]:
    """Expect a sign of life at least every so many minutes.

    Args:
        minutes: Without a sign, the process ends with status 75.
        what: To name it by.

    Yields:
        The sign of life, to be called.
    """
    alive, done = threading.Event(), threading.Event()

    def guard() -> None:
        while alive.wait(minutes * 60):
            alive.clear()
            if done.is_set():
                return
        log.error(
            "%s: expected a step at least every %g minutes, found none; stopped. Run "
            "again to go on from the last checkpoint; SEGPIPE_STALL_MINUTES sets the "
            "patience. It hangs here:",
            what,
            minutes,
        )
        faulthandler.dump_traceback(all_threads=True)
        os._exit(STALLED)

    thread = threading.Thread(target=guard, name="watchdog", daemon=True)
    thread.start()
    try:
        yield alive.set
    finally:
        done.set()
        alive.set()
        thread.join()
