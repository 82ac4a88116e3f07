"""What tests of several rooms need, made once; heavy imports wait for who asks."""

import fcntl
import gc
import importlib
import multiprocessing
import os
import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.shares import begin_with_the_longest
from tests.support.typechecks import check_axes_where_there_are_some

if TYPE_CHECKING:
    from segpipe.project.paths import Paths

# Packages that segpipe imports. Where it imports them, the hook that checks its types
# compiles them anew, for a cache of its own: in a fresh environment for ten seconds.
FOREIGN = (
    "highdicom",
    "imagecodecs",
    "matplotlib.figure",
    "mlflow.store.tracking.sqlalchemy_store",
    "nibabel",
    "scipy.optimize",
    "scipy.stats",
    "SimpleITK",
    "skimage.segmentation",
    "torch",
)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Import what all tests import, and look for no garbage before the first test."""
    check_axes_where_there_are_some()
    gc.disable()
    if hasattr(session.config, "workerinput"):  # all of the tests run
        for name in FOREIGN:
            importlib.import_module(name)


def pytest_collection_finish() -> None:
    """Look for garbage again, but not among the modules and tests, which stay."""
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Let no long file be the last, and one worker alone start a Prefect server."""
    if hasattr(config, "workerinput"):
        workers = config.workerinput["workercount"]
        files = [item.nodeid.split("::")[0] for item in items]
        served = {
            file
            for item, file in zip(items, files, strict=True)
            if isinstance(item, pytest.Function) and "prefect_api" in item.fixturenames
        }
        items[:] = begin_with_the_longest(
            items, files, workers=workers, together=served
        )


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Set torch back to one thread: threads that wait for each other cost half."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of this run of pytest; the workers of pytest-xdist share it."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def trained(run_folder: Path) -> Path:
    """A project of two models, up to evaluate; copy it, never change it."""
    from segpipe.project.paths import Paths
    from tests.support.projects import run_to_evaluate

    root = run_folder / "trained"
    with (run_folder / "trained.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (root / "params.yaml").exists():  # it is written last
            run_to_evaluate(Paths(root))
    return root


@pytest.fixture(scope="session")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database without runs: creating its tables takes a second."""
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture(scope="session")
def prefect_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real server; what runs in this process talks to it."""
    from prefect import context
    from prefect.logging.handlers import APILogWorker
    from prefect.settings import (
        PREFECT_API_URL,
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
        PREFECT_HOME,
        temporary_settings,
    )

    from tests.support.servers import prefect_server

    home = tmp_path_factory.mktemp("prefect")
    with (
        prefect_server(home) as api,
        temporary_settings(
            {
                PREFECT_API_URL: api,
                PREFECT_HOME: str(home),
                # It costs a second at the end of each flow; the zombie test sets it.
                PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None,
            }
        ),
        pytest.MonkeyPatch.context() as patch,
    ):
        # Threads see these alone, and the one of the logs would start another server.
        here = context.get_settings_context()
        patch.setattr(context, "GLOBAL_SETTINGS_CONTEXT", here)
        yield api
        APILogWorker.drain_all()


@pytest.fixture(scope="session")
def reviewed_once(tmp_path_factory: pytest.TempPathFactory, tables: Path) -> Path:
    """A project with a review; copy it, never change it."""
    from segpipe.project.paths import Paths
    from tests.support.approved import write_reviewed

    root = tmp_path_factory.mktemp("reviewed")
    shutil.copyfile(tables, root / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        write_reviewed(Paths(root))
    return root


@pytest.fixture(scope="session")
def forker() -> Iterator[Executor]:
    """A process of one thread, so that it may fork: for tests.support.kills."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        yield pool


@pytest.fixture
def workers_at_once(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Small cases are left to workers as large ones are; the test has to start some."""
    from segpipe.dataset.casework import mapping

    monkeypatch.setattr(mapping, "LARGE_BYTES", -1)
    before = os.times().children_user
    yield
    assert os.times().children_user > before, "no worker was started"


@pytest.fixture
def paths(tmp_path: Path, tables: Path, monkeypatch: pytest.MonkeyPatch) -> "Paths":
    """A project with an empty store of its own."""
    from segpipe.project.paths import Paths

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copyfile(tables, tmp_path / "mlflow.db")
    return Paths(tmp_path)
