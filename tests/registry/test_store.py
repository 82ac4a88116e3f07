"""The store is the project's own unless told, and an error names it."""

import pytest

from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.registry.store import reachable, tracking_uri


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
