"""A store with registered versions, for the tests of several modules."""

import shutil
from pathlib import Path

import pytest

from segpipe.project.paths import Paths
from tests.support.stores import add_two, write_store


@pytest.fixture
def store(paths: Paths) -> Paths:
    """A project whose store holds version 1 of liver, the champion."""
    write_store(paths)
    return paths


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory, tables: Path) -> Path:
    """A project for the fixture three; copy it, never change it."""
    root = tmp_path_factory.mktemp("three")
    shutil.copyfile(tables, root / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        write_store(Paths(root))
        add_two(Paths(root))
    return root


@pytest.fixture
def three(kept: Path, paths: Paths) -> Paths:
    """Version 2 is the champion, 1 the previous one, 3 the candidate."""
    shutil.copyfile(kept / "mlflow.db", paths.root / "mlflow.db")
    shutil.copytree(kept / "m", paths.root / "m")
    return paths
