"""The store is the project's own unless told, and an error names it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from segpipe.project.errors import DataError
from segpipe.project.origin.study import Study
from segpipe.project.paths import Paths
from segpipe.registry.live import live_run
from segpipe.registry.record import record
from segpipe.registry.runs import find_run
from segpipe.registry.store import connect, reachable, tracking_uri
from tests.support.stores import ROWS, made_from
from tests.support.trainings import write_training


def test_runs_lie_at_the_projects_root_unless_told(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tracking_uri(paths) == f"sqlite:///{paths.root.resolve()}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://server:5000")
    assert tracking_uri(paths) == "http://server:5000"


def test_where_the_server_is_needed_the_error_names_it(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")

    with pytest.raises(DataError, match=r"127\.0\.0\.1:9.*start it"), reachable(paths):
        pass


@pytest.mark.parametrize("name", ["a?b", "a?b#c%20d", "a#b", "a%3Fb", "a b", "größe"])
def test_the_database_lies_in_the_project_whatever_its_folder_is_called(
    name: str, tmp_path: Path, tables: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What follows a ? in the address of a database is no path but options."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / name
    folder.mkdir()
    shutil.copyfile(tables, folder / "mlflow.db")
    with live_run(Paths(folder), record=made_from(), tags={}) as live:
        live.log(ROWS)

    client, experiment = connect(Paths(folder))
    run = find_run(client, experiment, "k0")
    assert run is not None
    client.log_text(run.info.run_id, "a", "a.txt")
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert {path.name for path in folder.iterdir()} == {"mlflow.db", "mlartifacts"}


def test_each_study_has_an_experiment_of_its_own_in_one_store(
    paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkout's is called segpipe, as before there were studies."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{paths.root}/mlflow.db")
    liver = tmp_path / "other"
    liver.mkdir()
    study = Study(format_version=1, name="liver", segpipe="0.1.0", files={})
    study.write(liver / "study.json")
    found = {}
    for each in (paths, Paths(liver)):
        client, experiment = connect(each)
        found[client.get_experiment(experiment).name] = experiment

    assert list(found) == ["segpipe", "liver"]
    assert len(set(found.values())) == 2


@pytest.mark.parametrize("name", ["plain", "which?"])
def test_a_deleted_experiment_comes_back_with_the_command_that_is_said(
    name: str, tmp_path: Path, tables: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    paths = Paths(tmp_path / name)
    paths.root.mkdir()
    shutil.copyfile(tables, paths.root / "mlflow.db")
    paths.params.write_text("format_version: 1\nmodels: [vnet]\nfolds: [0]\n")
    write_training(paths, "vnet", 0)
    record(paths)
    client, experiment = connect(paths)
    client.delete_experiment(experiment)

    with pytest.raises(DataError, match=r"experiment segpipe.*deleted") as error:
        record(paths)
    with live_run(paths, record=made_from(), tags={}) as live:  # and no training stops
        live.log(ROWS)
    command = str(error.value).split("`")[1]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path}
    subprocess.run(command, shell=True, check=True, env=environment, cwd=tmp_path)

    assert any("unchanged" in line for line in record(paths))


@pytest.mark.parametrize(
    ("uri", "mend"),
    [
        ("http://127.0.0.1:9", "start it, or set MLFLOW_TRACKING_URI"),
        ("sqlite:////dev/null/mlflow.db", "put a backup back"),
        ("mssql+nonsense://me:secret@host/db", ""),
        ("mssql://me:secret@host/db", "found no module pyodbc; install"),
    ],
)
def test_each_error_of_the_store_has_its_own_mend_and_tells_no_password(
    uri: str, mend: str, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")

    with pytest.raises(DataError) as error, reachable(paths):
        pass

    assert mend in str(error.value)
    assert "secret" not in str(error.value)
