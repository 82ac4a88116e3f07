"""segment: segment the new studies of an inbox, with a task run for each case.

``python -m flows.segment INBOX --output OUT --model MODEL``. Each thread of the flow,
or of the workers of a Dask cluster, drives its own process that segments
(segpipe.tools.segmenting.inbox.pool), so a case that hangs or is killed affects no
other.
"""

import argparse
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("DO_NOT_TRACK", "1")

from prefect import flow, get_run_logger, task
from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.futures import PrefectFuture, as_completed
from prefect.states import Completed, Failed
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner
from prefect.tasks import Task
from pydantic import TypeAdapter

from flows.running.temporary import by_hand
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.project.progress import speaking, work
from segpipe.segmenter.settings import SegmentSettings
from segpipe.tools.segmenting.attempt import Outcome
from segpipe.tools.segmenting.inbox.inbox import WaitingStudy, sort_inbox
from segpipe.tools.segmenting.inbox.order import (
    Order,
    prepare_order,
    workers_at_once,
)
from segpipe.tools.segmenting.inbox.pool import find_pool, stop_pool
from segpipe.tools.segmenting.inbox.report import InboxReport
from segpipe.tools.segmenting.run import tell_outcome, warnings_of, write_volumes

WAITING: TypeAdapter[WaitingStudy] = TypeAdapter(WaitingStudy)
UPDATES_S = 5.0  # between updates of the progress


@flow(name="segment")
def segment(
    inbox: str | list[str],
    output: str,
    model: str,
    root: str = ".",
    workers: int = 0,
    dask: str | None = None,
    settle_s: float = 30.0,
    case_timeout_s: float = 3600.0,
    retry_failed: bool = False,
    settings: SegmentSettings | None = None,
) -> State[None]:
    """Segment the new studies of an inbox; a finished case is not segmented again.

    Args:
        inbox: Folder of studies, or a list of files and folders.
        output: Folder for label maps, manifests and failures; with Dask on storage
            that all machines share.
        model: Folder of a segmenter or of its folds, or models:/NAME@champion.
        root: The project's folder, for the registry's address and its cache.
        workers: Cases at a time; 0 means one with a GPU, otherwise as many as the cores
            allow. A Dask cluster segments as many as it has threads.
        dask: Address of a Dask cluster's scheduler, such as tcp://host:8786.
        settle_s: Studies whose newest file is younger, in seconds, are left for the
            next run: they are still being written.
        case_timeout_s: A case that takes longer, in seconds, has failed.
        retry_failed: Whether cases that failed before are tried again, although neither
            their files nor the segmenter nor the settings changed.
        settings: How to segment, and what to write.

    Raises:
        DataError: If inbox, segmenter or device is missing.
    """
    log = get_run_logger()
    with speaking("segment", say=log.info):
        order = prepare_order(
            model, Path(output), settings or SegmentSettings(), Paths(Path(root))
        )
        at_once = workers_at_once(workers, order.settings)
        found = sort_inbox(
            [Path(item) for item in ([inbox] if isinstance(inbox, str) else inbox)],
            order,
            now=time.time(),
            settle_s=settle_s,
            limit_s=case_timeout_s,
            retry_failed=retry_failed,
            workers=at_once,
        )
        log.info("%s, with %s %s", found, order.record.name, order.record.digest[:12])
        for name in found.growing:
            log.info("left for the next run, still being written: %s", name)
        outcomes = run_cases(found.todo, order, at_once, dask, case_timeout_s)
    report = InboxReport(order, found, tuple(outcomes))
    message, failed = report.headline(), bool(report.failed)
    log.info(message)
    publish(report)
    try:
        write_volumes(Path(order.output))
    except OSError as error:  # the failures of the cases must still be said
        message += f"; volumes.csv: {error}; free the disk, then run it again"
        failed = True
    return (Failed if failed else Completed)(message=message)


def run_cases(
    cases: tuple[WaitingStudy, ...],
    order: Order,
    workers: int,
    dask: str | None,
    limit_s: float,
) -> list[Outcome]:
    """Segment each case in a task run; returns the outcomes in the order of cases."""
    if not cases:
        return []
    run, log, output = str(uuid4()), get_run_logger(), Path(order.output)
    with runner_at(dask, workers) as runner, ended_with(run, runner):
        futures = {}
        for case in cases:
            parameters = {
                "case": case.study.name,
                "study": WAITING.dump_json(case).decode(),
                "order": order.model_dump_json(),
                "run": run,
                "limit_s": limit_s,
            }
            futures[runner.submit(segment_one, parameters)] = case.study.name
        outcomes = {}
        with work("segment", total=len(cases), unit="case") as told:
            for future in with_progress(list(futures)):
                one = read_outcome(future, futures[future])
                outcomes[futures[future]] = one
                tell_outcome(log, told, one, output)
                for words in warnings_of(one, output):  # of another process
                    log.warning("%s: %s", one.case, words)
    return [outcomes[case.study.name] for case in cases]


def heals(task: Task[Any, Any], run: TaskRun, state: State[Any]) -> bool:
    """Whether another try may help: after a disk or network fault, not a data fault."""
    return isinstance(state.data, Outcome) and state.data.kind == "system"


@task(
    name="segment-case",
    task_run_name="{case}",
    cache_policy=NO_CACHE,
    retries=1,
    retry_delay_seconds=10,
    retry_condition_fn=heals,
)
def segment_one(
    case: str, study: str, order: str, run: str, limit_s: float
) -> State[Outcome]:
    """Segment one case in another process; study and order are JSON documents."""
    pool = find_pool(run, Order.model_validate_json(order))
    outcome = pool.segment(WAITING.validate_json(study), limit_s=limit_s)
    if outcome.failed:
        return Failed(message=outcome.reason, data=outcome)
    return Completed(message=outcome.kind, data=outcome)


def read_outcome(future: PrefectFuture[Any], case: str) -> Outcome:
    """Outcome of a task run; a run that was lost counts as an error."""
    found = future.result(raise_on_failure=False)
    if isinstance(found, Outcome):
        return found
    return Outcome(case=case, kind="error", reason=" ".join(str(found).split()))


def with_progress(futures: list[PrefectFuture[Any]]) -> Iterator[PrefectFuture[Any]]:
    """Yield futures as they complete, and show the progress as an artifact."""
    artifact = create_progress_artifact(0.0, key="segment-progress")
    assert isinstance(artifact, UUID)
    updated = time.monotonic()
    for count, future in enumerate(as_completed(futures), 1):
        yield future
        if count == len(futures) or time.monotonic() - updated > UPDATES_S:
            updated = time.monotonic()
            update_progress_artifact(artifact, 100.0 * count / len(futures))


@contextmanager
def ended_with(run: str, runner: TaskRunner[Any]) -> Iterator[None]:
    """End the processes of a flow run with it, even in the middle of a case."""
    try:
        yield
    finally:
        stop_pool(run)
        if not isinstance(runner, ThreadPoolTaskRunner):
            runner.client.run(stop_pool, run)  # type: ignore[attr-defined]


def runner_at(dask: str | None, workers: int) -> TaskRunner[Any]:
    """Task runner with threads of this process, or with a Dask cluster.

    Raises:
        DataError: If a cluster is asked for and its packages are missing.
    """
    if dask is None:
        return ThreadPoolTaskRunner(max_workers=workers)
    try:
        from prefect_dask.task_runners import DaskTaskRunner
    except ImportError as error:
        raise DataError(
            f"--dask {dask}: expected prefect-dask, which `pip install "
            "'segpipe[dask]'` installs"
        ) from error
    runner: TaskRunner[Any] = DaskTaskRunner(address=dask)
    return runner


def publish(report: InboxReport) -> None:
    """Show results and failures as artifacts of the flow run."""
    create_table_artifact(report.results(), key="segment-results")
    create_table_artifact(report.failures(), key="segment-failures")
    create_markdown_artifact(report.summary(), key="segment-summary")


def main() -> None:
    """Run the flow from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m flows.segment",
        description="Segment the new studies of an inbox, a Prefect task run for each.",
        epilog="example, in a shell with the export lines of `make serve`: python -m "
        "flows.segment ~/inbox --output ~/masks --model models:/liver@champion",
        argument_default=argparse.SUPPRESS,  # the flow and its settings have them
    )
    parser.add_argument("inbox", nargs="+", help="folders and files of studies")
    parser.add_argument("--output", required=True, help="folder for the results")
    parser.add_argument("--model", required=True, help="folder, or models:/NAME@ALIAS")
    parser.add_argument("--workers", type=int, help="cases at a time")
    parser.add_argument("--threads", type=int, help="CPU threads of a case")
    parser.add_argument("--dask", help="address of a scheduler, tcp://HOST:8786")
    parser.add_argument(
        "--settle-s",
        type=float,
        help="least seconds since a study's newest file; else 30",
    )
    parser.add_argument(
        "--case-timeout-s", type=float, help="longest seconds of a case; else 3600"
    )
    parser.add_argument(
        "--retry-failed", action="store_true", help="try known failures again, too"
    )
    arguments = vars(parser.parse_args())
    threads = {"threads": arguments.pop("threads")} if "threads" in arguments else {}
    settings = SegmentSettings(**threads)
    try:
        with by_hand("segment"):
            state = segment(**arguments, settings=settings, return_state=True)
    except KeyboardInterrupt:
        raise SystemExit("error: interrupted; run it again to continue") from None
    if not state.is_completed():
        raise SystemExit(f"error: {state.message}")


if __name__ == "__main__":
    main()
