"""Services run the code that started them, and flows see no server's password."""

from pathlib import Path

import pytest

from flows.services.environment import (
    build_environment,
    find_login,
    without_secrets,
)
from flows.services.processes.daemons import MARK
from tests.support.places import ROOT


def build(folder: Path) -> dict[str, str]:
    return build_environment(
        folder / "s",
        api="http://a",
        mlflow="http://m",
        review="http://r",
        login="user:wo:rd",
    )


def test_the_running_code_comes_first_and_every_process_is_marked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/theirs")
    monkeypatch.setenv("PREFECT_API_URL", "http://another")

    environment = build(tmp_path)

    assert environment["PYTHONPATH"] == f"{ROOT}:/theirs"
    assert environment["PREFECT_API_URL"] == "http://a"
    assert environment[MARK] == str(tmp_path / "s")


def test_workers_know_the_servers_login_and_not_its_databases(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "theirs:word")
    monkeypatch.setenv("PREFECT_SERVER_DATABASE_CONNECTION_URL", "postgresql://u:w@h/d")
    monkeypatch.setenv("MLFLOW_BACKEND_STORE_URI", "postgresql://u:w@h/d")

    server = build(tmp_path)
    worker = without_secrets(server)

    assert server["PREFECT_SERVER_DATABASE_CONNECTION_URL"] == "postgresql://u:w@h/d"
    assert server["PREFECT_SERVER_API_AUTH_STRING"] == "user:wo:rd"
    assert worker["PREFECT_API_AUTH_STRING"] == "user:wo:rd"
    assert worker["MLFLOW_TRACKING_USERNAME"] == "user"
    assert worker["MLFLOW_TRACKING_PASSWORD"] == "wo:rd"
    assert "postgresql://u:w@h/d" not in worker.values()
    assert "PREFECT_SERVER_API_AUTH_STRING" not in worker


def test_readers_are_sent_to_this_machine_or_where_the_user_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SEGPIPE_REVIEW_URL", raising=False)
    assert build(tmp_path)["SEGPIPE_REVIEW_URL"] == "http://r"

    monkeypatch.setenv("SEGPIPE_REVIEW_URL", "https://review.example.org")
    assert build(tmp_path)["SEGPIPE_REVIEW_URL"] == "https://review.example.org"


def test_no_run_gets_the_checkpoints_of_the_project_that_started_the_servers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The user's own folder stays."""
    monkeypatch.delenv("SEGPIPE_CHECKPOINTS", raising=False)
    assert "SEGPIPE_CHECKPOINTS" not in build(tmp_path)

    monkeypatch.setenv("SEGPIPE_CHECKPOINTS", "/shared/checkpoints")
    assert build(tmp_path)["SEGPIPE_CHECKPOINTS"] == "/shared/checkpoints"


def test_the_password_is_generated_once_and_only_its_user_can_read_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PREFECT_SERVER_API_AUTH_STRING", raising=False)
    (tmp_path / "other").mkdir()
    (tmp_path / "password.part").write_text("half")  # of a start that was killed

    login, other = find_login(tmp_path), find_login(tmp_path / "other")

    user, password = login.split(":")
    assert user == "segpipe"
    assert len(password) >= 32
    assert login != other
    assert find_login(tmp_path) == login
    assert (tmp_path / "password").stat().st_mode & 0o777 == 0o600
    assert [file.name for file in tmp_path.iterdir() if file.is_file()] == ["password"]


def test_a_login_of_the_users_own_is_taken_and_written_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_SERVER_API_AUTH_STRING", "user:word")

    assert find_login(tmp_path) == "user:word"
    assert list(tmp_path.iterdir()) == []
