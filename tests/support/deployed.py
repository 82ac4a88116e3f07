"""A small project with services of its own, and questions to its Prefect server."""

import json
import shutil
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from tests.support.places import ROOT

BUSY, TRIES = 503, 30
PREFECT_YAML = """\
name: trial
pull:
  - prefect.deployments.steps.set_working_directory:
      directory: "{{ $PWD }}"
deployments:
  - name: tick
    entrypoint: trial.py:tick
    work_pool: {name: cpu}
    schedules:
      - {slug: minutely, cron: "* * * * *", active: true}
  - name: together
    entrypoint: trial.py:together
    work_pool: {name: cpu}
    schedules:
      - {slug: nightly, cron: "0 2 * * *", active: false}
  - name: sleep
    entrypoint: trial.py:sleep
    work_pool:
      name: gpu
      job_variables: {env: {PREFECT_FLOWS_HEARTBEAT_FREQUENCY: "30"}}
"""
TRIAL = """\
import os
from pathlib import Path

from prefect import flow, task

from flows.running.commands import stream


@flow
def tick() -> None:
    Path("ticked").write_text(os.environ.get("SEGPIPE_WORKSPACE", "none"))


@task
def square(number: int) -> int:
    return number**2


@flow
def together() -> list[int]:
    futures = [square.submit(number) for number in range(12)]
    return [future.result() for future in futures]


@flow
def sleep(file: str) -> None:
    Path(file + ".run").write_text(str(os.getpid()))
    stream(".", ["sleeping", file])
"""
SLEEPING = """\
import os, pathlib, sys, time
pathlib.Path(sys.argv[1]).write_text(str(os.getpid()))
time.sleep(600)
"""


def build_project(folder: Path, prefect_yaml: str = PREFECT_YAML) -> Path:
    """A folder with this checkout's code and three small flows."""
    folder.mkdir(parents=True, exist_ok=True)
    for package in ("flows", "segpipe"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, folder / package, ignore=ignored)
    (folder / "prefect.yaml").write_text(prefect_yaml)
    (folder / "trial.py").write_text(TRIAL)
    (folder / "sleeping.py").write_text(SLEEPING)
    return folder


def ask(api: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """What a Prefect server answers: a GET, or a POST where there is a body."""
    request = urllib.request.Request(
        f"{api}/{path}",
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    for _ in range(TRIES):  # as Prefect's own client does
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code != BUSY:
                raise
            time.sleep(1)
    raise TimeoutError(f"{path}: the server stays busy")


def run(api: str, name: str, **parameters: Any) -> str:
    """Ask for a run of a deployment now; returns its number."""
    deployment = ask(api, f"deployments/name/{name}/{name}")
    body = {"parameters": parameters, "state": {"type": "SCHEDULED"}}
    path = f"deployments/{deployment['id']}/create_flow_run"
    return str(ask(api, path, body)["id"])


def state(api: str, number: str) -> str:
    """The state of a flow run."""
    return str(ask(api, f"flow_runs/{number}")["state_type"])
