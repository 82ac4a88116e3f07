"""The registry from the command line."""

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from segpipe.__main__ import app
from segpipe.cli.project import HERE
from segpipe.cli.registry import next_steps
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.registry.store import connect
from segpipe.registry.versions import find_version


@pytest.fixture
def project(tmp_path: Path, tables: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two versions of its own name, of which 1 is the champion; one of another."""
    project = tmp_path / "liver"
    project.mkdir()
    shutil.copyfile(tables, project / "mlflow.db")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(project)
    client, _ = connect(Paths(project))
    for name in ("liver", "kidney"):
        client.create_registered_model(name)
        client.create_model_version(name, str(project), None)
    client.create_model_version("liver", str(project), None)
    client.set_registered_model_alias("liver", "champion", "1")
    return project


def table(*words: str) -> list[list[str]]:
    """Name, version and alias of each line."""
    result = CliRunner().invoke(app, list(words))
    assert result.exit_code == 0, result.exception
    return [line.split()[:3] for line in result.output.splitlines()[1:]]


def test_a_promotion_and_its_rollback_show_the_versions_of_the_name(
    project: Path,
) -> None:
    assert table("promote", "2", "--why", "finer vessels") == [
        ["liver", "2", "champion"],
        ["liver", "1", "previous"],
    ]
    assert table("rollback", "--why", "misses the left kidney") == [
        ["liver", "2", "previous"],
        ["liver", "1", "champion"],
    ]


def test_another_name_is_meant_only_when_told(project: Path) -> None:
    words = ["promote", "1", "--why", "the first", "--name", "kidney"]
    assert table(*words) == [["kidney", "1", "champion"]]
    assert len(table("models")) == 3
    assert len(table("models", "--name", "liver")) == 2


def test_promote_asks_for_the_reason() -> None:
    result = CliRunner().invoke(app, ["promote", "2"])

    assert result.exit_code == 2
    assert "--why" in result.output


def test_a_model_that_is_not_listed_is_not_registered(project: Path) -> None:
    Path("params.yaml").write_text("format_version: 1\nmodels: [m]\nfolds: [0]\n")
    result = CliRunner().invoke(app, ["register", "other"])

    assert isinstance(result.exception, DataError)
    assert "expected other among them, found m" in str(result.exception)
    assert len(table("models", "--name", "liver")) == 2


def test_a_registered_version_is_compared_with_a_champion_where_there_is_one(
    project: Path,
) -> None:
    first, second = (find_version("liver", number, HERE) for number in "12")
    judged = "judge it: segpipe compare vnet models:/liver@champion"

    assert judged in next_steps("vnet", second)
    assert judged not in next_steps("vnet", first)  # it is the champion
    kidney = find_version("kidney", "1", HERE)
    alone = "judge it: segpipe results, and the report that it names"
    assert alone in next_steps("vnet", kidney)
