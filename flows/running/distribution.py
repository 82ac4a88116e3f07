"""Distribution: run trainings at the same time, on the workers of a pool."""

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

from flows.running.commands import CommandError, git, retried, stream
from flows.running.workspace import branch_of, commit_run, has_git, remote_of
from segpipe.project.errors import DataError
from segpipe.project.origin.study import read_study
from segpipe.project.progress import speaking, work

TrainOn = Literal["auto", "here", "workers"]
ATTEMPTS = 3  # of a training whose worker was lost; each continues from its checkpoint
LOOKS_S = 5.0  # between looks at the runs
RESTORED = "is cached - skipping run"  # in the words of dvc repro


@dataclass(frozen=True)
class Training:
    """A training stage that runs on a worker.

    Attributes:
        stage: Name of the stage.
        run: Id of its flow run.
        attempt: Number of the attempt, from 1.
    """

    stage: str
    run: UUID
    attempt: int = 1


def deployment_of(root: str) -> str:
    """The deployment of the flow train that the project's prefect.yaml describes."""
    study = read_study(Path(root))
    return "train/train" if study is None else f"train/{study.name}"


def choose_place(root: str, train_on: TrainOn, deployment: str) -> bool:
    """Decide whether to train on workers; the reason for not doing so is logged.

    Raises:
        DataError: If workers are asked for, and something that they need is missing.
    """
    if train_on == "here":
        return False
    missing = _missing(root, deployment)
    if missing is None:
        return True
    if train_on == "workers":
        raise DataError(f"{root}: expected to train on workers, found {missing}")
    get_run_logger().info("trains here, one training after another: %s", missing)
    return False


def _missing(root: str, deployment: str) -> str | None:
    """What is missing for trainings on workers, and the remedy; None if nothing is."""
    if not has_git(root):
        return "no git repository; workers get commits"
    if remote_of(root) is None:
        return "no DVC remote to share results; `dvc remote add -d NAME ADDRESS`"
    online = WorkerFilter(status=WorkerFilterStatus(any_=[WorkerStatus.ONLINE]))
    with get_client(sync_client=True) as client:
        try:
            pool = client.read_deployment_by_name(deployment).work_pool_name
        except ObjectNotFound:
            return (
                f"no deployment {deployment}; `python -m flows.deployments` deploys it"
            )
        if pool is None:
            return f"no work pool for the deployment {deployment}"
        if not client.read_workers_for_work_pool(pool, worker_filter=online):
            return f"no worker online; `prefect worker start --pool {pool} --limit 1`"
    return None


def train_on_workers(
    root: str, stages: list[str], deployment: str, repository: str | None
) -> None:
    """Let workers train stages at the same time, then restore their results.

    Args:
        root: The workspace, where all earlier stages are up to date.
        stages: Names of the stages.
        deployment: Deployment of the flow train; its pool determines the workers.
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


@retried("share")
def share(root: str, commit: str, repository: str | None) -> None:
    """Push data, results of earlier stages and the commit to where workers fetch."""
    stream(root, ["dvc", "push", "--run-cache"])
    if repository is not None:
        goal = f"{commit}:refs/heads/{branch_of(commit)}"
        git(root, "push", "--quiet", "--force", "--", repository, goal)


@retried("fetch")
def fetch_results(root: str) -> None:
    """Fetch DVC's records of all runs, including those of the workers."""
    stream(root, ["dvc", "fetch", "--run-cache", "data.dvc"])


@task(cache_policy=NO_CACHE)
def restore(root: str, stage: str) -> None:
    """Restore the results of a worker; nothing is trained here.

    Raises:
        CommandError: If the remote does not have them.
    """
    seen = False

    def watch(line: str) -> None:
        nonlocal seen
        seen = seen or RESTORED in line
        if line.startswith("Running stage") and not seen:
            raise CommandError(
                f"{stage}: expected its worker's results in the DVC remote, found "
                "none; do both use the same remote and the same versions of Python "
                "packages?"
            )

    stream(root, ["dvc", "repro", "--pull", "--single-item", stage], watch=watch)


def run_all(stages: list[str], deployment: str, parameters: dict[str, str]) -> None:
    """Run the deployment once for each stage, all at the same time; wait for all.

    If this flow is cancelled, so are the runs.

    Raises:
        CommandError: If one fails; the others are completed first, for their results.
    """
    log = get_run_logger()
    going: list[Training] = []
    failed: list[str] = []
    try:
        for stage in stages:
            going.append(_start(stage, deployment, parameters))
        total = len(stages)
        with (
            work("trainings on workers", total=total, unit="training") as told,
            speaking("trainings on workers", say=log.info),
        ):
            while going:
                time.sleep(LOOKS_S)
                told.advance(total - len(going) - told.done)
                for training in list(going):
                    state = _read_state(training.run)
                    if state is None or not state.is_final():
                        continue
                    going.remove(training)
                    if state.is_completed():
                        log.info("%s: done", training.stage)
                    elif state.is_crashed() and training.attempt < ATTEMPTS:
                        log.warning(
                            "%s: its worker was lost; it restarts", training.stage
                        )
                        again = _start(training.stage, deployment, parameters)
                        going.append(replace(again, attempt=training.attempt + 1))
                    else:
                        fault = f"{training.stage}: {state.name}: {state.message}"
                        log.error(fault)
                        failed.append(fault)
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
    """State of a run; None while the server does not answer, as it may restart."""
    try:
        with get_client(sync_client=True) as client:
            return client.read_flow_run(run).state
    except httpx.TransportError as error:
        get_run_logger().warning("the Prefect server does not answer: %s", error)
        return None


def _cancel(going: list[Training]) -> None:
    with get_client(sync_client=True) as client:
        for training in going:
            message = "the run that waited for this one ended"
            client.set_flow_run_state(training.run, Cancelling(message=message))
