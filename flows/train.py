"""train: run one training stage on a worker, in the worker's own clone.

The flow is the deployment ``train`` on the pool ``gpu``. A worker for each GPU keeps
one run a GPU: ``CUDA_VISIBLE_DEVICES=0 prefect worker start --pool gpu --limit 1``. On
machines that others use, too, a global limit named gpu applies
(`prefect gcl create gpu --limit 1`).
"""

import os
import re
from pathlib import Path

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.concurrency.sync import concurrency

from flows.running.commands import output, retried, stream
from flows.running.page import tag_run
from flows.running.workspace import check_out, occupied
from segpipe.project.errors import DataError
from segpipe.project.params import read_params
from segpipe.project.paths import Paths
from segpipe.project.progress import speaking

TRAIN = "train@"
LIMIT = "gpu"


@flow(name="train", flow_run_name="{stage}")
def train(repository: str, commit: str, stage: str) -> None:
    """Reproduce one training stage in this worker's clone and share the results.

    Args:
        repository: Address that the clone fetches from, or a path that this machine
            can read.
        commit: Commit that is checked out: code, params.yaml, data.dvc and the locks.
        stage: Name of the stage, such as train@unet3d-0.

    Raises:
        DataError: If the worker has no GPU although it should, or if stage or commit
            are malformed.
        CommandError: If git, DVC or the training fails.
    """
    if not re.fullmatch(r"[0-9a-f]{40,64}", commit) or not stage.startswith(TRAIN):
        raise DataError(
            f"{stage} at {commit}: expected a stage {TRAIN}MODEL-FOLD and a full "
            "commit hash, as `reproduce` gives both"
        )
    workspace = find_workspace()
    log = get_run_logger()
    with (
        speaking("train", say=log.info),
        occupied(workspace),
        concurrency(LIMIT, occupy=1),
    ):
        fetch(str(workspace), repository, commit)
        say_device(workspace)
        keep_checkpoints(repository)
        reproduce_stage.with_options(task_run_name=stage)(str(workspace), stage)
        push(str(workspace), stage)


def find_workspace() -> Path:
    """SEGPIPE_WORKSPACE, this worker's clone, or else one clone for the machine."""
    named = os.environ.get("SEGPIPE_WORKSPACE")
    return Path(named or Path.home() / ".cache" / "segpipe" / "workspace").resolve()


def keep_checkpoints(repository: str) -> None:
    """Let this run keep its checkpoints in the project that it trains for.

    A training whose worker was lost then continues in the clone of another worker. The
    worker's own SEGPIPE_CHECKPOINTS wins; a project that this machine cannot read has
    none here.
    """
    project = Path(repository)
    if (project / "dvc.yaml").is_file():
        os.environ.setdefault("SEGPIPE_CHECKPOINTS", str(project / ".checkpoints"))


@retried("fetch")
def fetch(workspace: str, repository: str, commit: str) -> None:
    """Check out the commit and its data, whatever the state of the clone.

    Without that, DVC would treat older data as a local change of data.dvc.
    """
    check_out(Path(workspace), repository, commit)
    stream(workspace, ["dvc", "fetch", "data.dvc"])
    stream(workspace, ["dvc", "checkout", "--force", "data.dvc"])


@task(cache_policy=NO_CACHE)
def reproduce_stage(workspace: str, stage: str) -> None:
    """Train; earlier stages are pulled, and a finished training is restored."""
    stream(workspace, ["dvc", "repro", "--pull", stage])


@retried("push")
def push(workspace: str, stage: str) -> None:
    """Push the stage's files and the record from which others restore them."""
    stream(workspace, ["dvc", "push", "--run-cache", stage])


def say_device(workspace: Path) -> str:
    """Log the device and precision of the training, and tag the run with them.

    Raises:
        DataError: If CUDA_VISIBLE_DEVICES names a GPU that torch does not find: a
            training on the CPU would take days without anybody noticing.
    """
    found = output(workspace, ["segpipe", "device"]).strip()
    promised = os.environ.get("CUDA_VISIBLE_DEVICES", "").strip()
    asked = read_params(Paths(workspace).params)["compute"]["device"]
    if promised not in ("", "-1") and asked != "cpu" and not found.startswith("cuda"):
        raise DataError(
            f"CUDA_VISIBLE_DEVICES={promised}: expected a GPU, found {found}; check "
            "`nvidia-smi`, or start the worker without the variable to train on the CPU"
        )
    get_run_logger().info("trains on %s", found)
    tag_run(f"device: {found}")
    return found
