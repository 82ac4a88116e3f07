"""Store: the MLflow server or database that keeps a project's runs and versions."""

import logging
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import LifecycleStage
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from segpipe.project.errors import DataError
from segpipe.project.paths import Paths, sqlite_uri
from segpipe.project.study import project_name

# Tags of runs and versions: digest of the segmenter, md5 of the data.
SEGMENTER, DATA = "segpipe.segmenter", "segpipe.data"
SEAL = "segpipe.provenance"  # tag of a version: SHA-256 of its provenance.json


def tracking_uri(paths: Paths) -> str:
    """MLFLOW_TRACKING_URI, or mlflow.db in the project's folder if it is not set."""
    own = sqlite_uri(paths.root.resolve() / "mlflow.db")
    return os.environ.get("MLFLOW_TRACKING_URI") or own


def connect(paths: Paths) -> tuple[MlflowClient, str]:
    """Open the store; returns a client and the id of the experiment, created if needed.

    Raises:
        MlflowException: If the server does not answer within seconds, or the database
            cannot be opened.
        DataError: If the experiment was deleted, or the database needs a driver that
            is not installed.
    """
    try:
        return _connect(paths)
    except (OSError, SQLAlchemyError) as error:  # MLflow does not translate these
        raise MlflowException(f"{type(error).__name__}: {error}") from error
    except ModuleNotFoundError as error:
        raise DataError(
            f"{_shown(tracking_uri(paths))}: expected the driver of the database, "
            f"found no module {error.name}; install it, for PostgreSQL with "
            "`pip install psycopg2-binary`"
        ) from error


def _connect(paths: Paths) -> tuple[MlflowClient, str]:
    for name, value in (
        ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1"),
        ("MLFLOW_HTTP_REQUEST_TIMEOUT", "10"),
        ("MLFLOW_DISABLE_TELEMETRY", "true"),
        ("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false"),
    ):
        os.environ.setdefault(name, value)
    for noisy in ("alembic", "mlflow"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    uri = tracking_uri(paths)
    client = MlflowClient(tracking_uri=uri)
    name = project_name(paths.root)
    experiment = client.get_experiment_by_name(name)
    if experiment is not None:
        if experiment.lifecycle_stage != LifecycleStage.ACTIVE:
            number = experiment.experiment_id
            raise DataError(
                f"{_shown(uri)}: expected the experiment {name}, found that it "
                f"was deleted; `MLFLOW_TRACKING_URI='{_shown(uri)}' mlflow experiments "
                f"restore --experiment-id {number}` brings it back with its runs"
            )
        return client, experiment.experiment_id
    place = None
    if uri.startswith("sqlite"):
        place = (paths.root.resolve() / "mlartifacts").as_uri()
    return client, client.create_experiment(name, artifact_location=place)


@contextmanager
def reachable(paths: Paths) -> Iterator[tuple[MlflowClient, str]]:
    """Client and id of the experiment, for work that cannot do without the store.

    Raises:
        DataError: If the store cannot be reached or refuses a request.
    """
    try:
        yield connect(paths)
    except MlflowException as error:
        uri = tracking_uri(paths)
        raise DataError(
            f"{_shown(uri)}: expected an MLflow server or database, found: "
            f"{first_line(error)}; {_mend(error, uri)}"
        ) from error


def _mend(error: MlflowException, uri: str) -> str:
    """What to do about an error of the store."""
    if uri.startswith("sqlite"):
        return "check the file and the free disk space, or put a backup back"
    if error.error_code in ("UNAUTHENTICATED", "PERMISSION_DENIED"):
        return "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
    if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_STATE"):
        return "it may have been deleted on the server's page, which can restore it"
    return "start it, or set MLFLOW_TRACKING_URI"


def _shown(uri: str) -> str:
    """The address without its password."""
    return re.sub(r"(//[^/@:]*):[^/@]*@", r"\1:***@", uri)


def all_pages(search: Callable[..., Any]) -> list[Any]:
    """Everything that a search finds, page by page."""
    found, token = [], None
    while True:
        page = search(page_token=token)
        found += page
        token = page.token
        if not token:
            return found


def first_line(error: Exception) -> str:
    """First line of an error's message, short enough to quote in another error."""
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
