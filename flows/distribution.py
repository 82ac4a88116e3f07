"""Distribution: trainings at the same time, on workers of a pool."""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal
from uuid import UUID

import httpx
from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import WorkerFilter, WorkerFilterStatus
from prefect.client.schemas.objects import FlowRun, State, WorkerStatus
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelling

from flows.running.commands import CommandError, git, stream
from flows.running.workspace import branch_of, commit_run, has_git, remote_of
from flows.train import DELAYS_S, RETRIES
from segpipe.project.errors import DataError

TrainOn = Literal["auto", "here", "workers"]
ATTEMPTS = 3  # of a training whose worker was lost; each goes on from its checkpoint
LOOKS_S = 5.0
RESTORED = "is cached - skipping run"


@dataclass(frozen=True)
class Training:
    """A stage under way.

    Attributes:
        stage: Its name.
        run: The flow run that does it.
        attempt: From 1.
    """

    stage: str
    run: UUID
    attempt: int = 1


def choose_place(root: str, train_on: TrainOn, deployment: str) -> bool:
    """Whether to train on workers; why not is logged.

    Raises:
        DataError: If it must be workers, and something is missing for it.
    """
    if train_on == "here":
        return False
    missing = _missing(root, deployment)
    if missing is None:
        return True
    if train_on == "workers":
        raise DataError(f"{root}: expected to train on workers, found {missing}")
    get_run_logger().info("trains here, one after another: %s", missing)
    return False


def _missing(root: str, deployment: str) -> str | None:
    if not has_git(root):
        return "no git repository; workers get commits"
    if remote_of(root) is None:
        return "no DVC remote to share results over; `dvc remote add -d NAME ADDRESS`"
    online = WorkerFilter(status=WorkerFilterStatus(any_=[WorkerStatus.ONLINE]))
    with get_client(sync_client=True) as client:
        try:
            pool = client.read_deployment_by_name(deployment).work_pool_name
        except ObjectNotFound:
            return f"no deployment {deployment}; `make serve` deploys train/train"
        if pool is None:
            return f"no work pool that the deployment {deployment} goes to"
        if not client.read_workers_for_work_pool(pool, worker_filter=online):
            return f"no worker online; `prefect worker start --pool {pool} --limit 1`"
    return None


def train_on_workers(
    root: str, stages: list[str], deployment: str, repository: str | None
) -> None:
    """Let workers train stages at the same time, then restore what they made.

    Args:
        root: The workspace; what comes before the stages is up to date.
        stages: Names.
        deployment: Of the flow train, for the pool of these workers.
        repository: Where workers fetch commits from, if not from the workspace itself.

    Raises:
        DataError: If code is uncommitted.
        CommandError: If a training fails, or its worker was lost too often.
    """
    commit = commit_run(root)
    share(root, commit, repository)
    parameters = {
        "repository": repository or str(Path(root).resolve()),
        "commit": commit,
    }
    run_all(stages, deployment, parameters)
    fetch_results(root)
    for stage in stages:
        restore.with_options(task_run_name=stage)(root, stage)


@task(
    task_run_name="share",
    cache_policy=NO_CACHE,
    retries=RETRIES,
    retry_delay_seconds=DELAYS_S,
)
def share(root: str, commit: str, repository: str | None) -> None:
    """Push data, results so far and the commit to where workers fetch them."""
    stream(root, ["dvc", "push", "--run-cache"])
    if repository is not None:
        goal = f"{commit}:refs/heads/{branch_of(commit)}"
        git(root, "push", "--quiet", "--force", "--", repository, goal)


@task(
    task_run_name="fetch",
    cache_policy=NO_CACHE,
    retries=RETRIES,
    retry_delay_seconds=DELAYS_S,
)
def fetch_results(root: str) -> None:
    """Fetch what DVC knows of all runs, those of the workers among them."""
    stream(root, ["dvc", "fetch", "--run-cache", "data.dvc"])


@task(cache_policy=NO_CACHE)
def restore(root: str, stage: str) -> None:
    """Take over what a worker made; nothing is trained here.

    Raises:
        CommandError: If the remote does not give it.
    """
    seen = False

    def watch(line: str) -> None:
        nonlocal seen
        seen = seen or RESTORED in line
        if line.startswith("Running stage") and not seen:
            raise CommandError(
                f"{stage}: expected what its worker made, found nothing of it in the "
                "DVC remote; is it the same remote for both, and are the versions of "
                "Python packages the same?"
            )

    stream(root, ["dvc", "repro", "--pull", "--single-item", stage], watch=watch)


def run_all(stages: list[str], deployment: str, parameters: dict[str, str]) -> None:
    """Run the deployment once a stage, all at the same time; wait for all of them.

    Raises:
        CommandError: If one fails; the others are waited for, since their results
            count. If this flow is cancelled, so are they.
    """
    log = get_run_logger()
    going: list[Training] = []
    failed: list[str] = []
    try:
        for stage in stages:
            going.append(_start(stage, deployment, parameters))
        while going:
            time.sleep(LOOKS_S)
            for training in list(going):
                state = _read_state(training.run)
                if state is None or not state.is_final():
                    continue
                going.remove(training)
                if state.is_completed():
                    log.info("%s: done", training.stage)
                elif state.is_crashed() and training.attempt < ATTEMPTS:
                    log.warning("%s: its worker was lost; again", training.stage)
                    again = _start(training.stage, deployment, parameters)
                    going.append(replace(again, attempt=training.attempt + 1))
                else:
                    said = f"{training.stage}: {state.name}: {state.message}"
                    log.error(said)
                    failed.append(said)
    except BaseException:
        _cancel(going)
        raise
    if failed:
        raise CommandError("\n".join(failed))


def _start(stage: str, deployment: str, parameters: dict[str, str]) -> Training:
    run = run_deployment(
        deployment,
        parameters={**parameters, "stage": stage},
        flow_run_name=stage,
        timeout=0,
    )
    assert isinstance(run, FlowRun)
    get_run_logger().info("%s waits for a worker", stage)
    return Training(stage, run.id)


def _read_state(run: UUID) -> State[object] | None:
    """None while the server does not answer: it may be started again."""
    try:
        with get_client(sync_client=True) as client:
            return client.read_flow_run(run).state
    except httpx.TransportError as error:
        get_run_logger().warning("the Prefect server does not answer: %s", error)
        return None


def _cancel(going: list[Training]) -> None:
    with get_client(sync_client=True) as client:
        for training in going:
            message = "the run that waited for it ended"
            client.set_flow_run_state(training.run, Cancelling(message=message))
