"""The flow runs the real dvc in a real project, under a real Prefect."""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort

from flows.reproduce import bring_data, list_stages, reproduce
from flows.running.commands import CommandError
from flows.running.workspace import occupied
from segpipe.project.paths import Paths
from tests.support.evaluations import make_figures, write_figures
from tests.support.task_runs import read_task_runs
from tests.support.trainings import write_training

STAGES = """\
stages:
  start:
    matrix:
      name: [b, a]
    cmd: >-
      python -c "import pathlib, sys; p = pathlib.Path('artifacts/start');
      p.mkdir(parents=True, exist_ok=True); (p / '${item.name}').write_text('1')"
    params: [value]
    outs: ["artifacts/start/${item.name}"]
  end:
    cmd: >-
      python -c "import time; print('end speaks'); time.sleep(1);
      open('artifacts/end', 'w').write('2'); print('end is done')"
    deps: [artifacts/start/a, artifacts/start/b]
    outs: [artifacts/end]
"""
READING = """\
stages:
  read:
    cmd: python -c "open('artifacts/read', 'w').write(open('data/x').read())"
    deps: [data]
    outs: [artifacts/read]
"""
FAILING = """\
  broken:
    cmd: python -c "import sys; sys.exit('scan_7.nii is damaged')"
    deps: [artifacts/end]
    outs: [artifacts/broken]
  after:
    cmd: python -c "open('artifacts/after', 'w')"
    deps: [artifacts/broken]
    outs: [artifacts/after]
"""

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_api")]


def dvc(folder: Path, *words: str) -> int:
    command = [sys.executable, "-m", "dvc", *words]
    return subprocess.run(command, cwd=folder, check=False, timeout=240).returncode


@pytest.fixture
def project(paths: Paths, tmp_path: Path) -> Path:
    assert dvc(tmp_path, "init", "-q", "--no-scm") == 0
    (tmp_path / "dvc.yaml").write_text(STAGES)
    (tmp_path / "params.yaml").write_text(
        "format_version: 1\nvalue: 1\nmodels: [m]\nfolds: [0]\n"
    )
    write_training(Paths(tmp_path), "m", 0)
    write_figures(Paths(tmp_path), make_figures())
    return tmp_path


def read_last_run(tasks: int) -> tuple[FlowRun, dict[str, Any]]:
    """The last flow run, and the final state of each of its tasks."""
    with get_client(sync_client=True) as client:
        run = client.read_flow_runs(sort=FlowRunSort.START_TIME_DESC, limit=1)[0]
    return run, dict(read_task_runs(run.id, tasks))


def test_stages_come_in_the_order_of_the_file(project: Path) -> None:
    names = list_stages(str(project))

    assert names == ["start@b", "start@a", "end"]


def test_changed_data_come_under_dvc_before_the_stages_read_them(
    project: Path, unrecorded: None
) -> None:
    (project / "data").mkdir()
    (project / "data" / "x").write_text("1")
    dvc(project, "add", "-q", "data")
    (project / "dvc.yaml").write_text(READING)
    (project / "data" / "x").write_text("2")
    before = (project / "data.dvc").read_text()

    reproduce(root=str(project))

    assert list_stages(str(project)) == ["data.dvc", "read"]
    assert (project / "artifacts" / "read").read_text() == "2"
    assert (project / "data.dvc").read_text() != before
    assert dvc(project, "status", "--quiet") == 0


@pytest.fixture
def unrecorded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Recording has a test of its own and takes seconds."""
    monkeypatch.setattr("flows.reproduce.record_runs", lambda root: None)
    monkeypatch.setattr("flows.reproduce.show_results", lambda root: None)


@pytest.fixture
def reading(project: Path, unrecorded: None) -> Path:
    """A project that read its data, first 1, then 2, and now has 1 on disk."""
    (project / "data").mkdir()
    (project / "dvc.yaml").write_text(READING)
    (project / "data" / "x").write_text("0")
    dvc(project, "add", "-q", "data")
    for text in "12":
        (project / "data" / "x").write_text(text)
        reproduce(root=str(project))
        (project / f"{text}.yaml").write_text((project / "data.dvc").read_text())
    (project / "data" / "x").write_text("1")
    reproduce(root=str(project))
    return project


def test_data_that_git_brought_anew_replace_the_older_ones_on_disk(
    reading: Path,
) -> None:
    """dvc repro itself would take the old data for a change and turn data.dvc back."""
    newer = (reading / "2.yaml").read_text()
    (reading / "data.dvc").write_text(newer)

    reproduce(root=str(reading))

    assert (reading / "data" / "x").read_text() == "2"
    assert (reading / "artifacts" / "read").read_text() == "2"
    assert (reading / "data.dvc").read_text() == newer


def test_data_that_a_killed_import_set_aside_come_back_before_older_ones(
    tmp_path: Path,
) -> None:
    """A checkout in their place would lose cases that no data.dvc describes yet."""
    aside = tmp_path / ".data.before-import"
    aside.mkdir()
    (aside / "new.txt").write_text("not under DVC yet")
    (tmp_path / "data.dvc").write_text("outs:\n- md5: 0.dir\n  path: data\n")

    bring_data(str(tmp_path))

    assert [path.name for path in (tmp_path / "data").iterdir()] == ["new.txt"]
    assert not aside.exists()


def test_data_changed_on_both_sides_are_not_lost(reading: Path) -> None:
    (reading / "data" / "x").write_text("mine")
    (reading / "data.dvc").write_text((reading / "2.yaml").read_text())

    with pytest.raises(CommandError, match="data"):
        reproduce(root=str(reading))

    assert (reading / "data" / "x").read_text() == "mine"


def test_a_new_clone_pulls_what_a_remote_has_and_runs_nothing(
    project: Path,
    unrecorded: None,
    tmp_path_factory: pytest.TempPathFactory,
    caplog: pytest.LogCaptureFixture,
) -> None:
    folder = tmp_path_factory.mktemp("elsewhere")
    dvc(project, "remote", "add", "-q", "-d", "store", str(folder / "remote"))
    reproduce(root=str(project))
    dvc(project, "push", "-q")
    clone = folder / "clone"
    (clone / ".dvc").mkdir(parents=True)
    for name in ("dvc.yaml", "dvc.lock", "params.yaml", ".dvc/config"):
        (clone / name).write_text((project / name).read_text())
    (clone / "dvc.yaml").write_text(STAGES)
    caplog.clear()

    reproduce(root=str(clone))

    assert (clone / "artifacts" / "end").read_text() == "2"
    assert "end speaks" not in caplog.text


def test_two_runs_in_one_workspace_come_one_after_the_other(
    project: Path, unrecorded: None
) -> None:
    with ThreadPoolExecutor(1) as pool:
        with occupied(project):
            second = pool.submit(copy_context().run, reproduce, str(project))
            time.sleep(5)

            assert not (project / "artifacts" / "end").exists()

        assert second.result(timeout=240)


def test_each_stage_is_a_task_run_and_the_runs_are_recorded(project: Path) -> None:
    reproduce(root=str(project))

    run, states = read_last_run(6)
    assert run.state_type == StateType.COMPLETED
    assert set(states) == {"state", "start@a", "start@b", "end", "record", "results"}
    assert set(states.values()) == {StateType.COMPLETED}
    assert (project / "artifacts" / "end").read_text() == "2"
    assert (project / "mlflow.db").is_file()
    with get_client(sync_client=True) as client:
        ours = {"flow_run_id": {"any_": [str(run.id)]}, "key": {"any_": ["results"]}}
        (found,) = client._client.post(
            "/artifacts/filter", json={"artifacts": ours}
        ).json()
    assert "0.750" in found["data"]


def test_stages_speak_into_the_log_at_once_and_a_second_time_none_runs(
    project: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Python holds back what goes into a pipe, unless told not to."""
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    reproduce(root=str(project))
    before = (project / "artifacts" / "end").stat().st_mtime_ns
    at = {record.getMessage(): record.created for record in caplog.records}
    caplog.clear()
    reproduce(root=str(project))

    assert at["end is done"] - at["end speaks"] > 0.5
    assert (project / "artifacts" / "end").stat().st_mtime_ns == before
    assert "all stages are up to date" in caplog.text


def test_a_failing_stage_stops_the_flow_with_its_own_words(project: Path) -> None:
    (project / "dvc.yaml").write_text(STAGES + FAILING)

    with pytest.raises(CommandError, match=r"scan_7\.nii is damaged"):
        reproduce(root=str(project))

    run, states = read_last_run(5)
    assert run.state_type == StateType.FAILED
    assert states["broken"] == StateType.FAILED
    assert "after" not in states
    assert "record" not in states


def test_the_command_says_what_is_missing(tmp_path: Path) -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "flows.reproduce"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )

    assert answer.returncode == 1
    assert "expected dvc.yaml" in answer.stderr
