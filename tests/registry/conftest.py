"""A store with registered versions, for the tests of several modules."""

from pathlib import Path

import pytest

from segpipe.project.paths import Paths
from segpipe.registry.store import connect
from tests.support.stores import add_two, write_store


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new database; creating its tables takes seconds."""
    paths = Paths(tmp_path_factory.mktemp("store"))
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        connect(paths)
    return paths.root / "mlflow.db"


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    """A project whose store is its own."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return Paths(tmp_path)


@pytest.fixture
def store(paths: Paths, empty: Path) -> Paths:
    """A project whose store holds version 1 of liver, the champion."""
    write_store(paths, empty)
    return paths


@pytest.fixture
def three(store: Paths) -> Paths:
    """Version 2 is the champion, 1 the previous one, 3 the candidate."""
    add_two(store)
    return store
