"""Processes that really hang and are really killed."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from segpipe.project.paths import Paths
from segpipe.segmenter.settings import SegmentSettings
from segpipe.tools.segmenting.case import record_inputs
from segpipe.tools.segmenting.inbox.inbox import WaitingStudy
from segpipe.tools.segmenting.inbox.order import Order, prepare_order
from segpipe.tools.segmenting.inbox.pool import (
    StoppedError,
    WorkerPool,
    find_pool,
    stop_pool,
)
from segpipe.tools.segmenting.manifest import read_failure
from segpipe.tools.segmenting.studies import Study
from tests.support.phantoms import write_volume
from tests.support.segmenters import make_plan, save_segmenter

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def order(tmp_path_factory: pytest.TempPathFactory) -> Order:
    root = tmp_path_factory.mktemp("pool")
    model = save_segmenter(root / "m", make_plan())
    settings = SegmentSettings(overlay=False)
    return prepare_order(str(model), root / "out", settings, Paths(root))


@pytest.fixture
def out(order: Order) -> Path:
    return Path(order.output)


@pytest.fixture(scope="module")
def pool(order: Order) -> Iterator[WorkerPool]:
    """One for all tests, each of which leaves it ready: a process takes its time."""
    pool = WorkerPool(order)
    yield pool
    pool.stop()


def case(folder: Path, name: str) -> WaitingStudy:
    """A case; no two tests use the same name, as they share the output."""
    write_volume(folder / f"{name}.nii.gz")
    study = Study(name, (folder / f"{name}.nii.gz",))
    return WaitingStudy(study, record_inputs(study))


def hanging(folder: Path, name: str) -> WaitingStudy:
    """A pipe without a writer: reading it never ends."""
    os.mkfifo(folder / f"{name}.nii")
    known = record_inputs(case(folder, "other").study)
    return WaitingStudy(Study(name, (folder / f"{name}.nii",)), known)


def workers() -> list[psutil.Process]:
    children = psutil.Process().children(recursive=True)
    return [
        one
        for one in children
        if "segpipe.tools.segmenting.inbox.worker" in _words(one)
    ]


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def holds(process: psutil.Process, lock: Path) -> bool:
    """Whether a process works on the case: it has the lock's file open."""
    try:
        return str(lock) in {file.path for file in process.open_files()}
    except psutil.Error:
        return False


def test_a_process_is_kept_for_the_next_case(pool: WorkerPool, tmp_path: Path) -> None:
    first = pool.segment(case(tmp_path, "first"), limit_s=100.0)
    process = workers()
    second = pool.segment(case(tmp_path, "second"), limit_s=100.0)

    assert [first.kind, second.kind] == ["done", "done"]
    assert workers() == process
    assert len(process) == 1


def test_a_case_that_hangs_is_a_failure_and_the_next_goes_on(
    pool: WorkerPool, tmp_path: Path, out: Path
) -> None:
    slow = hanging(tmp_path, "late")

    late = pool.segment(slow, limit_s=1.0)

    assert late.kind == "late"
    assert "more than 1 s" in late.reason
    assert not workers()
    failure = read_failure(out, "late")
    assert failure is not None
    assert failure.inputs == slow.inputs
    assert failure.holds(failure.key, limit_s=1.0)
    assert not failure.holds(failure.key, limit_s=100.0)
    assert pool.segment(case(tmp_path, "later"), limit_s=100.0).kind == "done"


def test_a_case_that_kills_its_process_twice_is_a_failure(
    pool: WorkerPool, tmp_path: Path, out: Path
) -> None:
    slow = hanging(tmp_path, "killed")
    killed: set[int] = set()
    over = threading.Event()

    def kill() -> None:
        while not over.wait(0.2):
            for process in workers():
                if holds(process, out / ".killed.lock"):
                    process.kill()
                    killed.add(process.pid)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    try:
        outcome = pool.segment(slow, limit_s=100.0)
    finally:  # else a failure would wait for the thread for ever
        over.set()
        killer.join(60)

    assert outcome.kind == "killed"
    assert f"ended with {-signal.SIGKILL}" in outcome.reason
    assert len(killed) == 2
    assert pool.segment(case(tmp_path, "next"), limit_s=100.0).kind == "done"


def test_a_success_ends_a_failure(pool: WorkerPool, tmp_path: Path, out: Path) -> None:
    good = case(tmp_path, "mended")
    content = good.study.files[0].read_bytes()
    good.study.files[0].write_bytes(content[:50])
    outcome = pool.segment(good, limit_s=100.0)
    before = read_failure(out, "mended")
    good.study.files[0].write_bytes(content)

    again = pool.segment(good, limit_s=100.0)

    assert (outcome.kind, again.kind) == ("data", "done")
    assert before is not None
    assert before.reason == outcome.reason
    assert read_failure(out, "mended") is None


def test_a_stopped_crew_ends_in_the_middle_and_writes_no_failure(
    order: Order, tmp_path: Path, out: Path
) -> None:
    others = workers()
    pool = find_pool("run", order)
    timer = threading.Timer(2, stop_pool, ["run"])
    began = time.monotonic()
    timer.start()

    with pytest.raises(StoppedError):
        pool.segment(hanging(tmp_path, "stopped"), limit_s=100.0)

    assert time.monotonic() - began < 60  # and not when the time of the case is over
    assert find_pool("run", order) is pool
    assert workers() == others
    assert read_failure(out, "stopped") is None


def test_a_segmenter_that_is_not_there_is_no_fault_of_the_case(
    order: Order, tmp_path: Path, out: Path
) -> None:
    moved = order.model_copy(update={"folders": (str(tmp_path / "gone"),)})

    outcome = WorkerPool(moved).segment(case(tmp_path, "moved"), limit_s=100.0)

    assert outcome.kind == "worker"
    assert "shared storage" in outcome.reason
    assert read_failure(out, "moved") is None
