"""Store: the MLflow server or database that keeps a project's runs and versions."""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from segpipe.project.errors import DataError
from segpipe.project.paths import Paths

EXPERIMENT = "segpipe"
# Tags of runs and versions: digest of the segmenter, md5 of the data.
SEGMENTER, DATA = "segpipe.segmenter", "segpipe.data"


def tracking_uri(paths: Paths) -> str:
    """MLFLOW_TRACKING_URI, or mlflow.db in the project's folder if it is not set."""
    root = paths.root.resolve()
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{root}/mlflow.db"


def connect(paths: Paths) -> tuple[MlflowClient, str]:
    """Open the store; returns a client and the id of the experiment, created if needed.

    Raises:
        MlflowException: If the server does not answer within seconds, or the database
            cannot be opened.
    """
    try:
        return _connect(paths)
    except (OSError, SQLAlchemyError) as error:  # MLflow does not translate these
        raise MlflowException(f"{type(error).__name__}: {error}") from error


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
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is not None:
        return client, experiment.experiment_id
    place = None
    if uri.startswith("sqlite:"):
        place = (paths.root.resolve() / "mlartifacts").as_uri()
    return client, client.create_experiment(EXPERIMENT, artifact_location=place)


@contextmanager
def reachable(paths: Paths) -> Iterator[tuple[MlflowClient, str]]:
    """Client and id of the experiment, for work that cannot do without the store.

    Raises:
        DataError: If the store cannot be reached or refuses a request.
    """
    try:
        yield connect(paths)
    except MlflowException as error:
        raise DataError(
            f"{tracking_uri(paths)}: expected an MLflow server or database, found: "
            f"{first_line(error)}; start it, or set MLFLOW_TRACKING_URI"
        ) from error


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
