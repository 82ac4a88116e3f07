"""Trainings on workers: real workers, clones, git and a DVC remote."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from contextvars import copy_context
from pathlib import Path
from uuid import UUID

import psutil
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import FlowRunSort
from prefect.deployments import run_deployment
from prefect.states import Cancelling, Crashed

import flows
from flows.deployments.deployments import describe_place
from flows.reproduce import reproduce
from flows.running.commands import CommandError, git
from flows.running.distribution import choose_place
from segpipe.project.errors import DataError
from tests.support.servers import prefect_worker, wait_until

HERE = str(Path(flows.__file__).parent.parent)
PROJECT = """\
stages:
  prepare:
    cmd: python prepare.py
    deps: [data, prepare.py]
    outs: [artifacts/prepare]
  train:
    matrix:
      model: [a, b]
    cmd: python train.py ${item.model}
    deps: [artifacts/prepare, train.py]
    params: ["train.${item.model}"]
    outs: ["artifacts/train/${item.model}"]
"""
PREPARE = """\
import pathlib
pathlib.Path("artifacts").mkdir(exist_ok=True)
pathlib.Path("artifacts/prepare").write_text(pathlib.Path("data/x").read_text())
"""
# Each says where it was and waits until it saw the other, if the two must overlap.
TRAIN = """\
import os, pathlib, sys, time
model, meeting = sys.argv[1], pathlib.Path(os.environ["MEETING"])
(meeting / "pid").write_text(str(os.getpid()))
with (meeting / "trained").open("a") as file:
    file.write(f"{model} in {pathlib.Path.cwd().name}\\n")
if (meeting / "broken").exists() and model == "b":
    sys.exit("error: case_07.nii is damaged")
if (meeting / "waits").exists():
    other = {"a": "b", "b": "a"}[model]
    deadline = time.monotonic() + 90
    while f"{other} in" not in (meeting / "trained").read_text():
        if time.monotonic() > deadline:
            sys.exit("the other never came")
        time.sleep(.1)
deadline = time.monotonic() + 120
while (meeting / "hold").exists():
    if time.monotonic() > deadline:
        sys.exit("nobody let it go on")
    time.sleep(.1)
goal = pathlib.Path("artifacts/train") / model
goal.mkdir(parents=True)
(goal / "weights").write_text(model + pathlib.Path("artifacts/prepare").read_text())
"""
PARAMS = """\
format_version: 1
models: [a, b]
folds: [0]
compute: {device: auto, precision: fp32, threads: 1, workers: 0, compile: false}
train: {a: 1, b: 1}
"""

DVC = [sys.executable, "-m", "dvc"]
NOWHERE = "/nowhere"  # the DVC remote of a project that is copied

pytestmark = [pytest.mark.slow]


def run(folder: Path, *words: str) -> None:
    subprocess.run(words, cwd=folder, check=True, stdout=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where workers have their clones, and meet."""
    return tmp_path_factory.mktemp("workers")


@pytest.fixture
def meeting(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder by which trainings and tests tell each other what to do."""
    folder = place / "meeting"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "trained").touch()
    monkeypatch.setenv("MEETING", str(folder))
    return folder


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project without data and commits, whose DVC remote is to be named."""
    root = tmp_path_factory.mktemp("empty") / "project"
    root.mkdir()
    for name, text in {
        "dvc.yaml": PROJECT,
        "params.yaml": PARAMS,
        "prepare.py": PREPARE,
        "train.py": TRAIN,
        ".gitignore": "/data/\n/artifacts/\n/.cache/\n",
    }.items():
        (root / name).write_text(text)
    run(root, "git", "init", "-q")
    run(root, "git", "config", "user.email", "a@b")
    run(root, "git", "config", "user.name", "a")
    run(root, *DVC, "init", "-q")
    run(root, *DVC, "config", "core.analytics", "false")
    run(root, *DVC, "remote", "add", "-d", "store", NOWHERE)
    return root


@pytest.fixture
def project(
    empty: Path,
    tmp_path: Path,
    meeting: Path,
    monkeypatch: pytest.MonkeyPatch,
    deployed: None,
) -> Path:
    """A committed project with a DVC remote."""
    monkeypatch.setattr("flows.reproduce.record_runs", lambda root: None)
    monkeypatch.setattr("flows.reproduce.show_results", lambda root: None)
    monkeypatch.setattr("flows.running.distribution.LOOKS_S", 0.5)
    root = tmp_path / "project"
    shutil.copytree(empty, root)
    (root / "data").mkdir()
    (root / "data" / "x").write_text(str(tmp_path))  # of its own: nothing is restored
    config = root / ".dvc" / "config"
    remote = str(tmp_path / "remote")
    config.write_text(config.read_text().replace(NOWHERE, remote))
    run(root, *DVC, "add", "-q", "data")
    run(root, "git", "add", ".")
    run(root, "git", "commit", "-qm", "start")
    return root


@pytest.fixture(scope="module")
def deployed(prefect_api: str) -> None:
    """The pool gpu, and on it the deployments of both flows."""
    deploy = ["prefect", "--no-prompt", "deploy", "--pool", "gpu"]
    for words in (
        ["prefect", "work-pool", "create", "gpu", "--type", "process", "--overwrite"],
        [*deploy, "flows/train.py:train", "--name", "train"],
        [*deploy, "flows/reproduce.py:reproduce", "--name", "reproduce"],
    ):
        subprocess.run(
            [sys.executable, "-m", *words],
            cwd=HERE,
            env={**os.environ, **describe_place(HERE), "PREFECT_API_URL": prefect_api},
            check=True,
            stdout=subprocess.DEVNULL,
        )


@pytest.fixture(scope="module")
def workers(
    place: Path, prefect_api: str, deployed: None
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Two workers, each with a clone of its own."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(
                prefect_worker(
                    prefect_api,
                    "gpu",
                    name,
                    place,
                    SEGPIPE_WORKSPACE=str(place / name),
                    MEETING=str(place / "meeting"),
                )
            )
            for name in ("clone-0", "clone-1")
        ]


def trained(meeting: Path) -> list[str]:
    return sorted((meeting / "trained").read_text().splitlines())


def last_run() -> FlowRun:
    with get_client(sync_client=True) as client:
        return client.read_flow_runs(sort=FlowRunSort.START_TIME_DESC, limit=1)[0]


def is_final(run: UUID) -> bool:
    with get_client(sync_client=True) as client:
        state = client.read_flow_run(run).state
    return state is not None and state.is_final()


def run_of(worker: subprocess.Popen[bytes]) -> psutil.Process:
    """The process of the flow run that a worker is at."""
    for process in psutil.Process(worker.pid).children(recursive=True):
        if "prefect" in " ".join(process.cmdline()) and (
            "PREFECT__FLOW_RUN_ID" in process.environ()
        ):
            return process
    raise AssertionError("the worker has no run")


def test_two_workers_train_at_the_same_time_and_then_on_newer_data(
    project: Path, meeting: Path, workers: list[subprocess.Popen[bytes]]
) -> None:
    """Each training waits for the other: one after the other would never end.

    Then both clones hold older data: dvc repro would take them for a change, and turn
    data.dvc back in silence.
    """
    (meeting / "waits").touch()

    assert reproduce(root=str(project), train_on="workers")
    assert {line.split()[2] for line in trained(meeting)} == {"clone-0", "clone-1"}
    for model in ("a", "b"):
        weights = project / "artifacts" / "train" / model / "weights"
        assert weights.read_text() == model + str(project.parent)
    assert git(project, "branch", "--show-current") in ("master", "main")
    assert git(project, "status", "--porcelain") == "?? dvc.lock"

    assert not reproduce(root=str(project), train_on="workers")
    assert len(trained(meeting)) == 2

    (project / "data" / "x").write_text("newer")
    assert reproduce(root=str(project), train_on="workers")
    assert len(trained(meeting)) == 4
    for model in ("a", "b"):
        weights = project / "artifacts" / "train" / model / "weights"
        assert weights.read_text() == f"{model}newer"


def test_a_failed_training_says_why_and_is_not_tried_again(
    project: Path, meeting: Path, workers: list[subprocess.Popen[bytes]]
) -> None:
    (meeting / "broken").touch()

    with pytest.raises(CommandError, match=r"(?s)train@b.*case_07\.nii is damaged"):
        reproduce(root=str(project), train_on="workers")

    assert len(trained(meeting)) == 2


def test_cancelling_stops_the_training_and_the_workspace_goes_on(
    project: Path, meeting: Path, workers: list[subprocess.Popen[bytes]]
) -> None:
    (meeting / "hold").touch()
    parameters = {"root": str(project), "train_on": "here"}
    run = run_deployment("reproduce/reproduce", parameters=parameters, timeout=0)
    assert isinstance(run, FlowRun)
    wait_until((meeting / "pid").exists, what="the training starts")
    training = psutil.Process(int((meeting / "pid").read_text()))
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(run.id, Cancelling())
        wait_until(lambda: is_final(run.id), what="the run ends")
        state = client.read_flow_run(run.id).state

    assert state is not None
    assert state.is_cancelled()
    wait_until(lambda: not training.is_running(), what="the training ends")
    (meeting / "hold").unlink()
    prepared = (project / "artifacts" / "prepare").stat().st_mtime_ns
    assert reproduce(root=str(project), train_on="here")
    assert (project / "artifacts" / "prepare").stat().st_mtime_ns == prepared
    assert trained(meeting) == ["a in project", "a in project", "b in project"]


def test_a_lost_worker_costs_an_attempt_and_not_the_run(
    project: Path, meeting: Path, workers: list[subprocess.Popen[bytes]]
) -> None:
    """Its run is called crashed by the automation, here at once by the test."""
    (meeting / "hold").touch()
    with ThreadPoolExecutor(1) as pool:
        flow = pool.submit(
            copy_context().run, reproduce, str(project), False, "workers"
        )
        try:
            wait_until(lambda: len(trained(meeting)) == 2, what="both train")
            lost = run_of(workers[0])
            run = lost.environ()["PREFECT__FLOW_RUN_ID"]
            workers[0].kill()
            lost.kill()
        finally:
            (meeting / "hold").unlink()  # else the flow, and the pool, wait for ever
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(run, Crashed(), force=True)

        assert flow.result(timeout=120)
    assert len(trained(meeting)) == 3


def test_uncommitted_code_goes_nowhere(
    project: Path, workers: list[subprocess.Popen[bytes]]
) -> None:
    (project / "train.py").write_text(TRAIN + "# another\n")

    with pytest.raises(DataError, match=r"committed code, found changes in train\.py"):
        reproduce(root=str(project), train_on="workers")


def test_without_workers_the_stages_train_here(project: Path, meeting: Path) -> None:
    assert reproduce(root=str(project), deployment="train/fpga")
    assert "device: cpu, fp32, 1 threads" in last_run().tags
    assert trained(meeting) == ["a in project", "b in project"]


def test_what_is_missing_for_workers_is_said(project: Path) -> None:
    with pytest.raises(DataError, match="no deployment train/fpga"):
        choose_place(str(project), "workers", "train/fpga")
