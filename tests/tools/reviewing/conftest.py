"""A chain of twelve records and a registered version, made once."""

import shutil
from pathlib import Path

import pytest

from segpipe.project.paths import Paths
from tests.support.reviews import write_chain
from tests.support.stores import add_packed


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory, tables: Path) -> Path:
    root = tmp_path_factory.mktemp("reviewing")
    shutil.copyfile(tables, root / "mlflow.db")
    write_chain(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        add_packed(Paths(root), 1, trainers=("tom@lab",))
    return root


@pytest.fixture
def project(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    """A copy of it."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copytree(made, tmp_path / "project")
    return Paths(tmp_path / "project")
