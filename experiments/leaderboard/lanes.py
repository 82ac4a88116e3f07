"""Lanes: trials that run beside each other, each in a process of its own."""

import json
import logging
import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock

from experiments.leaderboard.trial import Settings, result_file
from experiments.trials import HOME

log = logging.getLogger(__name__)
OVERHEAD_S = 30  # of a trial beside its training, before any has ended
MODULE = "experiments.leaderboard.trial"


@dataclass(frozen=True)
class Task:
    """A trial that is to run.

    Attributes:
        folder: Name of the set.
        arm: Name of the arm.
        seed: Seed of the training.
    """

    folder: str
    arm: str
    seed: int


class Queue:
    """Tasks that lanes take, as long as the time lets one end.

    Args:
        tasks: The tasks, in order.
        seconds: Seconds of a training.
        until: Seconds from now after which nothing should run.
    """

    def __init__(self, tasks: Sequence[Task], seconds: float, until: float) -> None:
        self._tasks = deque(tasks)
        self._total = len(tasks)
        self._longest = seconds + OVERHEAD_S
        self._until = until
        self._began = time.perf_counter()
        self._done = 0
        self._lock = Lock()

    @property
    def left(self) -> int:
        """Tasks that no lane took."""
        return len(self._tasks)

    def take(self) -> Task | None:
        """The next task; None if there is none, or it would not end in time."""
        with self._lock:
            late = self.elapsed() + self._longest > self._until
            return self._tasks.popleft() if self._tasks and not late else None

    def end(self, task: Task, seconds: float, *, failed: bool) -> None:
        """Note that a task has ended after the seconds."""
        with self._lock:
            self._done += 1
            self._longest = max(self._longest, seconds)
            log.info(
                "%4.0f s: %d of %d ended, %s / %s / %d %s after %.0f s",
                self.elapsed(),
                self._done,
                self._total,
                task.folder,
                task.arm,
                task.seed,
                "FAILED" if failed else "is done",
                seconds,
            )

    def elapsed(self) -> float:
        """Seconds since the queue began."""
        return time.perf_counter() - self._began


def pending(tasks: Sequence[Task], work: Path) -> list[Task]:
    """The tasks without a result."""
    return [
        task
        for task in tasks
        if not result_file(work, task.folder, task.arm, task.seed).is_file()
    ]


def run_lanes(
    tasks: Sequence[Task], settings: Settings, work: Path, *, until: float
) -> list[Task]:
    """Run the tasks in lanes; a trial that fails is logged, and the others go on.

    Args:
        tasks: The tasks, in order.
        settings: What all trials have in common.
        work: Folder with the prepared sets; results and logs are written there.
        until: Seconds from now after which nothing should run.

    Returns:
        The tasks that have no result: failed, or not begun.
    """
    queue = Queue(tasks, settings.seconds, until)
    with ThreadPoolExecutor(settings.lanes) as pool:
        lanes = [
            pool.submit(_run_lane, queue, settings, work) for _ in range(settings.lanes)
        ]
        for lane in lanes:
            lane.result()
    if queue.left:
        log.warning("%d trials were not begun; run the command again", queue.left)
    return pending(tasks, work)


def _run_lane(queue: Queue, settings: Settings, work: Path) -> None:
    """Run tasks one after another until there is none, or no time."""
    while (task := queue.take()) is not None:
        began = time.perf_counter()
        failed = _run_task(task, settings, work)
        queue.end(task, time.perf_counter() - began, failed=failed)


def _run_task(task: Task, settings: Settings, work: Path) -> bool:
    """Run a task in a process of its own; returns whether it failed."""
    goal = result_file(work, task.folder, task.arm, task.seed)
    said = work / "logs" / task.folder / goal.with_suffix(".log").name
    said.parent.mkdir(parents=True, exist_ok=True)
    given = [task.folder, task.arm, str(task.seed), json.dumps(asdict(settings))]
    one = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    with said.open("w", encoding="utf-8") as file:
        done = subprocess.run(
            [sys.executable, "-m", MODULE, *given, str(work)],
            cwd=HOME,
            env={**os.environ, **one},
            stdout=file,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode:
        tail = said.read_text(encoding="utf-8").splitlines()[-3:]
        log.error("%s / %s / %d: %s", task.folder, task.arm, task.seed, tail)
    return done.returncode != 0
