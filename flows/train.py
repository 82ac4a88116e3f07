"""train: one training stage, by a worker, in a clone of its own.

A run of the deployment ``train`` on the pool ``gpu``. One run a GPU:
``CUDA_VISIBLE_DEVICES=0 prefect worker start --pool gpu --limit 1``; on machines that
others use, too, a global limit called gpu (`prefect gcl create gpu --limit 1`) counts.
"""

import os
import re
from pathlib import Path

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.concurrency.sync import concurrency

from flows.running.commands import output, stream
from flows.running.page import tag_run
from flows.running.workspace import check_out, occupied
from segpipe.project.errors import DataError
from segpipe.project.params import read_params
from segpipe.project.paths import Paths

TRAIN = "train@"
LIMIT = "gpu"
RETRIES = 3  # of what may heal: a remote that is out of reach
DELAYS_S: list[float] = [5, 30, 120]


@flow(name="train", flow_run_name="{stage}")
def train(repository: str, commit: str, stage: str) -> None:
    """Reproduce one training stage in this worker's clone and share what it made.

    Args:
        repository: Where the clone fetches from: an address, or a path that this
            machine can read.
        commit: That is checked out: code, params.yaml, data.dvc and dvc.lock.
        stage: Such as train@unet3d-0.

    Raises:
        DataError: If the worker promised a GPU and has none, or stage or commit are
            none.
        CommandError: If git, DVC or the training fail.
    """
    if not re.fullmatch(r"[0-9a-f]{40,64}", commit) or not stage.startswith(TRAIN):
        raise DataError(
            f"{stage} at {commit}: expected a stage {TRAIN}MODEL-FOLD and a commit's "
            "whole number; `reproduce` names both"
        )
    workspace = find_workspace()
    with occupied(workspace), concurrency(LIMIT, occupy=1):
        fetch(str(workspace), repository, commit)
        say_device(workspace)
        reproduce_stage.with_options(task_run_name=stage)(str(workspace), stage)
        push(str(workspace), stage)


def find_workspace() -> Path:
    """SEGPIPE_WORKSPACE, the clone of this worker, else one for all of this machine."""
    named = os.environ.get("SEGPIPE_WORKSPACE")
    return Path(named or Path.home() / ".cache" / "segpipe" / "workspace").resolve()


@task(
    task_run_name="fetch",
    cache_policy=NO_CACHE,
    retries=RETRIES,
    retry_delay_seconds=DELAYS_S,
)
def fetch(workspace: str, repository: str, commit: str) -> None:
    """Check out the commit and its data, whatever the clone held before.

    Left as they are, older data would pass for a change of data.dvc made here.
    """
    check_out(Path(workspace), repository, commit)
    stream(workspace, ["dvc", "fetch", "data.dvc"])
    stream(workspace, ["dvc", "checkout", "--force", "data.dvc"])


@task(cache_policy=NO_CACHE)
def reproduce_stage(workspace: str, stage: str) -> None:
    """Train; what comes before is pulled, and what was trained before is restored."""
    stream(workspace, ["dvc", "repro", "--pull", stage])


@task(
    task_run_name="push",
    cache_policy=NO_CACHE,
    retries=RETRIES,
    retry_delay_seconds=DELAYS_S,
)
def push(workspace: str, stage: str) -> None:
    """Share the stage's files and the record that lets others restore them."""
    stream(workspace, ["dvc", "push", "--run-cache", stage])


def say_device(workspace: Path) -> str:
    """Log the device and precision of the training, and tag the run with them.

    Raises:
        DataError: If CUDA_VISIBLE_DEVICES names a GPU that torch does not find: a
            training on the processor instead would take days in silence.
    """
    said = output(workspace, ["segpipe", "device"]).strip()
    promised = os.environ.get("CUDA_VISIBLE_DEVICES", "").strip()
    asked = read_params(Paths(workspace).params)["compute"]["device"]
    if promised not in ("", "-1") and asked != "cpu" and not said.startswith("cuda"):
        raise DataError(
            f"CUDA_VISIBLE_DEVICES={promised}: expected a GPU, as this worker "
            f"promises, found {said}; look at `nvidia-smi`, or start the worker "
            "without the variable to train on the processor"
        )
    get_run_logger().info("trains on %s", said)
    tag_run(f"device: {said}")
    return said
