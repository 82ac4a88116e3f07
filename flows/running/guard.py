"""guard: run a command, and end all of its processes when told to or left alone.

Cancelling a flow stops the flow's own process; one that is killed can stop nothing. A
training that went on then would hold its GPU and its workspace. Hence a process of its
own between the two: ``python -m flows.running.guard COMMAND ...``.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

# A training that is interrupted says so to MLflow, and DVC gives up its locks.
STEPS = ((signal.SIGINT, 15.0), (signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0))
SIGNALS = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
LOOKS_S = 0.5  # between looks for a parent that is gone


def guard(words: list[str], *, orphaned: Callable[[], bool]) -> int:
    """Run a command in a group of its own until it ends; returns its exit status.

    SIGTERM, SIGINT or the loss of the parent end the whole group, politely first.

    Args:
        words: The command.
        orphaned: Whether nobody waits for it any more.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    process = subprocess.Popen(
        words,
        start_new_session=True,
        preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_SETMASK, before),
    )
    while process.poll() is None:
        told = signal.sigtimedwait(SIGNALS, LOOKS_S)
        if orphaned() or (told and told.si_signo != signal.SIGCHLD):
            end_group(process)
    return process.returncode


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End a process and all of its group: asked first, then killed."""
    for number, patience_s in STEPS:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            if process.poll() is not None and not _lives(process.pid):
                return
            time.sleep(0.05)


def _lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def main() -> int:
    """The command line: the words are the command."""
    parent = os.getppid()
    status = guard(sys.argv[1:], orphaned=lambda: os.getppid() != parent)
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main())
