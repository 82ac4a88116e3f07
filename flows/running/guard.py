"""guard: run a command, and end all its processes on a signal or without a parent.

Cancelling a flow ends only the flow's own process, and a killed flow cannot end
anything. A training that continued would occupy its GPU and its workspace. So this
process stands between the two: ``python -m flows.running.guard COMMAND ...``.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

# An interrupted training reports to MLflow, and an interrupted DVC frees its locks.
STEPS = ((signal.SIGINT, 15.0), (signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0))
SIGNALS = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
LOOKS_S = 0.5  # between checks of the parent
# Process that waits for the command; it may be gone before this one looks for it.
PARENT = "SEGPIPE_GUARD_PARENT"


def guard(words: list[str], *, orphaned: Callable[[], bool]) -> int:
    """Run a command in its own process group until it ends; returns its exit status.

    SIGTERM, SIGINT, SIGHUP or the loss of the parent end the whole group.

    Args:
        words: The command.
        orphaned: Whether the process that waits for the command is gone.
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
    """End a process and its whole group: with signals, at last with SIGKILL."""
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
    """Run the command given on the command line."""
    parent = int(os.environ.pop(PARENT, os.getppid()))
    status = guard(sys.argv[1:], orphaned=lambda: os.getppid() != parent)
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main())
