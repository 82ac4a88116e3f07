"""What tests of several tools need, made once."""

from pathlib import Path

import pytest

from segpipe.project.paths import Paths
from tests.support.projects import run_to_evaluate


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of two models, up to evaluate; copy it, never change it."""
    paths = Paths(tmp_path_factory.mktemp("project"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{paths.root}/runs.db")
        run_to_evaluate(paths)
    return paths.root
