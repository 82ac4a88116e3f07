"""Watchdog: ends a process that makes no progress, and prints where it hangs.

A training stalled by a dead disk or a hung driver would otherwise occupy its machine
for ever; its progress is in its checkpoint.
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
    """SEGPIPE_STALL_MINUTES, or an hour if it is not set; it changes no result."""
    return float(os.environ.get("SEGPIPE_STALL_MINUTES") or MINUTES)


@contextmanager
def watch(minutes: float, what: str) -> Iterator[Callable[[], None]]:
    """End the process if there is no sign of life for some minutes.

    Args:
        minutes: Minutes without a sign after which the process ends with status 75.
        what: Name of the work, for the log.

    Yields:
        The function to call as a sign of life.
    """
    alive, done = threading.Event(), threading.Event()

    def guard() -> None:
        while alive.wait(minutes * 60):
            alive.clear()
            if done.is_set():
                return
        log.error(
            "%s: expected a step at least every %g minutes, found none; stopped. Run "
            "it again to continue from the last checkpoint; SEGPIPE_STALL_MINUTES sets "
            "the limit. It hangs here:",
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
