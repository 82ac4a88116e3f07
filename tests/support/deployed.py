"""A small project with services of its own, and questions to its Prefect server."""

import json
import os
import shutil
import time
import urllib.error
import urllib.request
from functools import cache
from pathlib import Path
from typing import Any

from flows.services.door import authorization
from tests.support.places import ROOT

BUSY, TRIES, WITHOUT_CSRF = 503, 30, 422
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
      job_variables: # as in our own prefect.yaml
        command: "{{ $SEGPIPE_PYTHON }} -m prefect.engine"
        env: {PYTHONPATH: "{{ $PYTHONPATH }}", PREFECT_FLOWS_HEARTBEAT_FREQUENCY: "30"}
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


def ask(
    api: str, path: str, body: dict[str, Any] | None = None, *, method: str = ""
) -> Any:
    """What a Prefect server answers: a GET, or a POST where there is a body.

    As Prefect's own client does, it sends the login PREFECT_API_AUTH_STRING if there is
    one, and asks for a CSRF token before a POST.
    """
    if body is None:
        return json.loads(_send(f"{api}/{path}", {}))
    headers = {"Content-Type": "application/json", **csrf(api)}
    answer = _send(f"{api}/{path}", headers, json.dumps(body).encode(), method)
    return json.loads(answer) if answer else None


@cache
def csrf(api: str) -> dict[str, str]:
    """The headers that a server with CSRF protection wants; none without."""
    try:
        token = json.loads(_send(f"{api}/csrf-token?client=tests", {}))["token"]
    except urllib.error.HTTPError as error:
        if error.code != WITHOUT_CSRF:
            raise
        return {}
    return {"Prefect-Csrf-Client": "tests", "Prefect-Csrf-Token": token}


def _send(
    url: str, headers: dict[str, str], body: bytes | None = None, method: str = ""
) -> bytes:
    login = os.environ.get("PREFECT_API_AUTH_STRING")
    known = {"Authorization": authorization(login)} if login else {}
    request = urllib.request.Request(
        url, data=body, headers={**known, **headers}, method=method or None
    )
    for _ in range(TRIES):  # as Prefect's own client does
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            if error.code != BUSY:
                raise
            time.sleep(1)
    raise TimeoutError(f"{url}: the server stays busy")


def run(api: str, name: str, **parameters: Any) -> str:
    """Ask for a run of a deployment now; returns its number."""
    deployment = ask(api, f"deployments/name/{name}/{name}")
    body = {"parameters": parameters, "state": {"type": "SCHEDULED"}}
    path = f"deployments/{deployment['id']}/create_flow_run"
    return str(ask(api, path, body)["id"])


def state(api: str, number: str) -> str:
    """The state of a flow run."""
    return str(ask(api, f"flow_runs/{number}")["state_type"])
