"""A server that began with PostgreSQL never begins anew with an empty database."""

from pathlib import Path

import pytest

from flows.services.stores import VARIABLES, keep_stores
from segpipe.project.errors import DataError

PREFECT, MLFLOW = VARIABLES
ADDRESS = {
    PREFECT: "postgresql+asyncpg://me:secret@db.example.org/prefect",
    MLFLOW: "sqlite:////elsewhere/mlflow.db",
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
