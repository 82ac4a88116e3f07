"""A pool of processes that segment; each is kept for the next case, or ended.

Cases run in processes of their own because a case may hang, or be killed when memory
runs out. Only its process is lost then, and the flow goes on.
"""

import os
import signal
import subprocess
import sys
import tempfile
import threading
from datetime import UTC, datetime
from multiprocessing import Pipe
from pathlib import Path
from typing import cast, get_args

from segpipe.project.errors import DataError
from segpipe.tools.segmenting.attempt import Outcome
from segpipe.tools.segmenting.inbox.inbox import WaitingStudy
from segpipe.tools.segmenting.inbox.order import Order
from segpipe.tools.segmenting.inbox.worker import STUDY
from segpipe.tools.segmenting.manifest import (
    Failure,
    Fault,
    failure_path,
    forget_failure,
)
from segpipe.tools.segmenting.studies import Study

STARTS_S = 600.0  # limit for loading a segmenter, also from a slow share
ATTEMPTS = 2  # a process may be killed because another one took the memory
LAST_WORDS = 300  # characters that are quoted from a process that died


class StoppedError(RuntimeError):
    """The run was stopped."""


class LostError(RuntimeError):
    """A process ended in the middle of a case; the message says how."""


class WorkerPool:
    """Processes that work on one order, as many as there are cases at a time.

    Args:
        order: Segmenter, settings and output, which each process loads.
    """

    def __init__(self, order: Order) -> None:
        self._order = order
        self._lock = threading.Lock()
        self._idle: list[_Worker] = []
        self._workers: set[_Worker] = set()
        self._stopped = False

    def segment(self, case: WaitingStudy, *, limit_s: float) -> Outcome:
        """Segment a case in a process; write a failure beside the results.

        Args:
            case: The study and the digests of its files.
            limit_s: Time limit.

        Raises:
            StoppedError: If the pool was stopped.
        """
        outcome = self._try(case.study, limit_s)
        if outcome.kind in ("done", "finished"):
            forget_failure(Path(self._order.output), outcome.case)
        elif outcome.failed and outcome.kind != "worker":
            try:
                write_failure(case, outcome, self._order, limit_s)
            except OSError as error:  # the reason must still be said
                reason = f"{outcome.reason}; no record beside the results: {error}"
                return outcome.model_copy(update={"reason": reason})
        return outcome

    def stop(self) -> None:
        """End all processes, also in the middle of a case."""
        with self._lock:
            self._stopped = True
            workers, idle = [*self._workers], [*self._idle]
            self._idle.clear()
        for worker in workers:
            worker.end()
        for worker in idle:  # the thread that waits for another one closes it
            worker.close()

    @property
    def ended(self) -> bool:
        """Whether it was stopped, or all its processes have ended."""
        with self._lock:
            dead = [worker.process.poll() is not None for worker in self._workers]
            return self._stopped or (bool(dead) and all(dead))

    def _try(self, study: Study, limit_s: float) -> Outcome:
        lost = ""
        for _ in range(ATTEMPTS):
            try:
                worker = self._take()
            except (DataError, LostError) as error:
                return Outcome(case=study.name, kind="worker", reason=str(error))
            try:
                outcome = worker.segment(study, limit_s=limit_s)
            except LostError as error:
                self._drop(worker)
                lost = study.without_places(str(error))
                continue
            except TimeoutError:
                self._drop(worker)
                why = (
                    f"took more than {limit_s:g} s; check whether it is damaged or huge"
                )
                return Outcome(
                    case=study.name, kind="late", reason=why, seconds=limit_s
                )
            with self._lock:
                self._idle.append(worker)
            return outcome
        why = f"{lost}, {ATTEMPTS} times; if -9, memory ran out: use fewer workers"
        return Outcome(case=study.name, kind="killed", reason=why)

    def _take(self) -> "_Worker":
        """An idle process, or a new one."""
        while True:
            with self._lock:
                self._check()
                if not self._idle:
                    break
                worker = self._idle.pop()
            if worker.process.poll() is None:
                return worker
            self._drop(worker)
        worker = _Worker(self._order)
        with self._lock:
            self._workers.add(worker)
        try:
            worker.wait_until_ready()
        except (DataError, LostError):
            self._drop(worker)
            raise
        return worker

    def _drop(self, worker: "_Worker") -> None:
        worker.end()
        worker.close()
        with self._lock:
            self._workers.discard(worker)
            self._check()

    def _check(self) -> None:
        if self._stopped:
            raise StoppedError("the run was stopped")


POOLS: dict[str, WorkerPool] = {}  # the pools of this process, by run
GUARD = threading.Lock()


def find_pool(run: str, order: Order) -> WorkerPool:
    """The pool of a run in this process; pools that have ended are dropped."""
    with GUARD:
        for other, pool in [*POOLS.items()]:
            if other != run and pool.ended:
                del POOLS[other]
        return POOLS.setdefault(run, WorkerPool(order))


def stop_pool(run: str) -> None:
    """End the processes of a run in this process; no new ones start."""
    with GUARD:
        pool = POOLS.get(run)
    if pool is not None:
        pool.stop()


class _Worker:
    """One process, and this end of its pipe."""

    def __init__(self, order: Order) -> None:
        self._pipe, theirs = Pipe()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the process
        self._seen = 0  # bytes logged before this case
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "segpipe.tools.segmenting.inbox.worker",
                str(theirs.fileno()),
            ],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            env=_environ(order.settings.threads),
            start_new_session=True,
        )
        theirs.close()
        self._pipe.send_bytes(order.model_dump_json().encode())

    def wait_until_ready(self) -> None:
        """Wait until the segmenter is loaded.

        Raises:
            DataError: If the process reports that it cannot load it.
            LostError: If the process ended without a report, or took too long.
        """
        try:
            refusal = self._receive(STARTS_S).decode()
        except TimeoutError as error:
            raise LostError(f"no segmenter was loaded in {STARTS_S:g} s") from error
        if refusal:
            raise DataError(refusal)

    def segment(self, study: Study, *, limit_s: float) -> Outcome:
        """Hand over a case and wait for its outcome.

        Raises:
            LostError: If the process ended before.
            TimeoutError: If it takes too long; the process still works on it.
        """
        self._seen = os.fstat(self._log.fileno()).st_size
        try:
            self._pipe.send_bytes(STUDY.dump_json(study))
        except OSError as error:
            raise LostError(self._last_words()) from error
        return Outcome.model_validate_json(self._receive(limit_s))

    def end(self) -> None:
        """Kill the process; it holds no state worth saving."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def close(self) -> None:
        """Close this end of the pipe, and the log."""
        self._pipe.close()
        self._log.close()

    def _receive(self, limit_s: float) -> bytes:
        try:
            if not self._pipe.poll(limit_s):
                raise TimeoutError
            return self._pipe.recv_bytes()
        except (EOFError, ConnectionError) as error:
            raise LostError(self._last_words()) from error

    def _last_words(self) -> str:
        status = self.process.wait()
        size = os.fstat(self._log.fileno()).st_size
        start = max(self._seen, size - 8 * LAST_WORDS)
        # pread, because the process shares the file's position.
        text = os.pread(self._log.fileno(), size - start, start)
        lines = text.decode(errors="replace").split("\n")
        words = next((line.strip() for line in reversed(lines) if line.strip()), "")
        last = f", last words: {words[-LAST_WORDS:]}" if words else ""
        return f"its process ended with {status}{last}"


def _environ(threads: int) -> dict[str, str]:
    """This environment, with this segpipe and the threads of a case."""
    here = str(Path(__file__).parents[4])
    variables = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    path = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH", "")]))
    return {
        **os.environ,
        **dict.fromkeys(variables, str(threads)),
        "PYTHONPATH": path,
    }


def write_failure(
    case: WaitingStudy, outcome: Outcome, order: Order, limit_s: float
) -> None:
    """Write beside the results why a case failed."""
    assert outcome.kind in get_args(Fault), outcome
    Failure(
        format_version=1,
        case=outcome.case,
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        key=order.key(case.inputs) if case.inputs else "",
        inputs=case.inputs,
        kind=cast(Fault, outcome.kind),
        limit_s=limit_s,
        reason=outcome.reason,
    ).write(failure_path(Path(order.output), outcome.case))
