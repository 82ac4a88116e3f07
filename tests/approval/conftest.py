"""A chain of twelve records, made once."""

import shutil
from pathlib import Path

import pytest

from tests.support.reviews import write_chain


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("chain")
    write_chain(root)
    return root


@pytest.fixture
def root(written: Path, tmp_path: Path) -> Path:
    """A copy of the chain, to be tampered with."""
    goal = tmp_path / "project"
    shutil.copytree(written, goal)
    return goal
