"""Services run this project's code, and flows see no server's password."""

from pathlib import Path

import pytest

from flows.services.daemons import MARK
from flows.services.environment import build_environment, without_secrets


def build(folder: Path) -> dict[str, str]:
    return build_environment(folder, folder / "s", api="http://a", mlflow="http://m")


def test_the_projects_code_comes_first_and_every_process_is_marked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/theirs")
    monkeypatch.setenv("PREFECT_API_URL", "http://another")

    environment = build(tmp_path)

    assert environment["PYTHONPATH"] == f"{tmp_path}:/theirs"
    assert environment["PREFECT_API_URL"] == "http://a"
    assert environment[MARK] == str(tmp_path / "s")


def test_workers_know_the_servers_login_and_not_its_databases(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_SERVER_API_AUTH_STRING", "user:word")
    monkeypatch.setenv("PREFECT_SERVER_DATABASE_CONNECTION_URL", "postgresql://u:w@h/d")
    monkeypatch.setenv("MLFLOW_BACKEND_STORE_URI", "postgresql://u:w@h/d")

    server = build(tmp_path)
    worker = without_secrets(server)

    assert server["PREFECT_SERVER_DATABASE_CONNECTION_URL"] == "postgresql://u:w@h/d"
    assert worker["PREFECT_API_AUTH_STRING"] == "user:word"
    assert "postgresql://u:w@h/d" not in worker.values()
    assert "PREFECT_SERVER_API_AUTH_STRING" not in worker


def test_workers_of_one_machine_share_their_checkpoints_or_the_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training whose worker was lost goes on in the clone of another."""
    monkeypatch.delenv("SEGPIPE_CHECKPOINTS", raising=False)
    assert build(tmp_path)["SEGPIPE_CHECKPOINTS"] == f"{tmp_path}/.checkpoints"

    monkeypatch.setenv("SEGPIPE_CHECKPOINTS", "/shared/checkpoints")
    assert build(tmp_path)["SEGPIPE_CHECKPOINTS"] == "/shared/checkpoints"
