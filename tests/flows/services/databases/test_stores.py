"""A server that began with PostgreSQL never begins anew with an empty database."""

import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient

from flows.services.databases.stores import (
    VARIABLES,
    adopt_store,
    choose_store,
    keep_stores,
)
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths, sqlite_uri
from segpipe.registry.store import connect

PREFECT, MLFLOW, REVIEW = VARIABLES
ADDRESS = {
    PREFECT: "postgresql+asyncpg://me:secret@db.example.org/prefect",
    MLFLOW: "sqlite:////elsewhere/mlflow.db",
    REVIEW: "sqlite:////elsewhere/accounts.db",
}


@pytest.fixture(autouse=True)
def none_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def test_without_a_choice_nothing_is_remembered(tmp_path: Path) -> None:
    keep_stores(tmp_path)

    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", VARIABLES)
def test_a_start_without_the_chosen_database_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, ADDRESS[name])
    keep_stores(tmp_path)
    keep_stores(tmp_path)
    monkeypatch.delenv(name)

    with pytest.raises(DataError, match=f"{name}: expected the database") as error:
        keep_stores(tmp_path)
    assert "secret" not in (tmp_path / "stores.json").read_text() + str(error.value)
    assert "me:" not in (tmp_path / "stores.json").read_text()

    (tmp_path / "stores.json").unlink()  # as the message says
    keep_stores(tmp_path)


def test_another_database_may_be_chosen_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for host in ("one", "two"):
        monkeypatch.setenv(PREFECT, f"postgresql+asyncpg://me:secret@{host}/prefect")
        keep_stores(tmp_path)

    assert "two/prefect" in (tmp_path / "stores.json").read_text()


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("mssql://me:secret@host/db", "found no module pyodbc; install it"),
        ("nonsense://me:secret@host/db", "expected KIND://USER"),
    ],
)
def test_a_missing_driver_is_one_sentence(
    address: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MLFLOW, address)

    with pytest.raises(DataError, match=words) as error:
        keep_stores(tmp_path)
    assert "secret" not in str(error.value)


@pytest.fixture
def old(paths: Paths, tables: Path) -> Path:
    """The store of the server of version 0.1: its run has a figure and a file."""
    folder = paths.root / ".services" / "mlflow"
    folder.mkdir(parents=True)
    shutil.copyfile(tables, folder / "mlflow.db")
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    experiment = client.create_experiment("segpipe", "mlflow-artifacts:/1")
    run = client.create_run(experiment).info.run_id
    client.log_metric(run, "dice", 0.75)
    file = folder / "artifacts" / "1" / run / "artifacts" / "report.html"
    file.parent.mkdir(parents=True)
    file.write_text("page")
    return folder


def runs(paths: Paths) -> list[tuple[float, str]]:
    """Figure and file of each run, as a command reads them."""
    client, experiment = connect(paths)
    return [
        (
            run.data.metrics["dice"],
            Path(client.download_artifacts(run.info.run_id, "report.html")).read_text(),
        )
        for run in client.search_runs([experiment])
    ]


@pytest.mark.parametrize("killed", [False, True])
def test_the_store_of_an_older_server_becomes_the_projects_own(
    killed: bool, paths: Paths, old: Path
) -> None:
    """The project's own is empty; a start was perhaps killed after moving the files."""
    if killed:
        paths.store_files.mkdir()
        (old / "artifacts" / "1").rename(paths.store_files / "1")

    adopt_store(paths.root, old.parent, running=False)
    adopt_store(paths.root, old.parent, running=False)

    assert runs(paths) == [(0.75, "page")]
    assert choose_store(paths.root, old.parent) == (
        f"sqlite:///{paths.root}/mlflow.db",
        paths.root / "mlartifacts",
    )
    assert not (old / "mlflow.db").exists()


def test_a_server_that_runs_keeps_its_store_and_says_so(
    paths: Paths, old: Path, caplog: pytest.LogCaptureFixture
) -> None:
    adopt_store(paths.root, old.parent, running=True)

    assert (old / "mlflow.db").is_file()
    assert "`make stop`, then `make serve`" in caplog.text


def test_of_two_stores_with_runs_neither_is_lost(
    paths: Paths, old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both mends that the message names work."""
    client, experiment = connect(paths)
    client.create_run(experiment)

    with pytest.raises(DataError, match="expected one store of runs") as error:
        adopt_store(paths.root, old.parent, running=False)

    named = sqlite_uri(old / "mlflow.db")
    assert f"MLFLOW_BACKEND_STORE_URI='{named}'" in str(error.value)
    with monkeypatch.context() as patch:
        patch.setenv(MLFLOW, named)
        adopt_store(paths.root, old.parent, running=False)
        assert choose_store(paths.root, old.parent) == (named, old / "artifacts")
    old.rename(paths.root / "elsewhere")
    adopt_store(paths.root, old.parent, running=False)
    assert len(client.search_runs([experiment])) == 1


def test_an_empty_store_of_an_older_server_is_left_alone(
    paths: Paths, tables: Path
) -> None:
    folder = paths.root / ".services"
    (folder / "mlflow").mkdir(parents=True)
    shutil.copyfile(tables, folder / "mlflow" / "mlflow.db")

    adopt_store(paths.root, folder, running=False)

    assert (folder / "mlflow" / "mlflow.db").is_file()
