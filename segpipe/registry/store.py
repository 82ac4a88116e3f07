"""Store: the MLflow server or database that keeps a project's runs and versions.

By default it is one database in the project's folder, and the files of its runs lie in
a folder beside it. `make serve` serves the same database and the same files, so what a
command writes without a server is seen there, and the other way round.
"""

import json
import logging
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import LifecycleStage
from mlflow.exceptions import MlflowException
from mlflow.store.artifact import artifact_repository_registry
from sqlalchemy.exc import SQLAlchemyError

from segpipe.project.errors import DataError
from segpipe.project.origin.study import project_name
from segpipe.project.paths import Paths, sqlite_uri

# Tags of runs and versions: digest of the segmenter, md5 of the data.
SEGMENTER, DATA = "segpipe.segmenter", "segpipe.data"
# Tags of the experiment: that networks are trained in it, or else MLflow takes it for
# one of language models; and the columns of the table of its runs, which the page shows
# at an address that ends with viewStateShareKey=segpipe.
KIND = ("mlflow.experimentKind", "custom_model_development")
VIEW = "mlflow.sharedViewState.segpipe"
COLUMNS = (
    "test/dice",
    "test/iou",
    "test/pa",
    "test/hd95_mm_mean",
    "test/hd95_px_mean",
    "validation_dice",
)
SEAL = "segpipe.provenance"  # tag of a version: SHA-256 of its provenance.json


# Imported by name: it lies beside modules that import this one. In an installed segpipe
# MLflow knows it as an entry point already.
files = import_module("segpipe.registry.mlflow_model.artifacts")
artifact_repository_registry._artifact_repository_registry.register(
    files.SCHEME, files.open_artifacts
)


def tracking_uri(paths: Paths) -> str:
    """MLFLOW_TRACKING_URI, or mlflow.db in the project's folder if it is not set."""
    own = sqlite_uri(Paths(paths.root.resolve()).store)
    return os.environ.get("MLFLOW_TRACKING_URI") or own


def shown_uri(paths: Paths) -> str:
    """The address of the store for a message, without its password."""
    return _shown(tracking_uri(paths))


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
    behind = uri.startswith("sqlite")
    return open_experiment(uri, project_name(paths.root), behind_server=behind)


def open_experiment(
    uri: str, name: str, *, behind_server: bool
) -> tuple[MlflowClient, str]:
    """A client of a store, and the id of the experiment, created if needed.

    Args:
        uri: Address of the server or database.
        name: Name of the experiment, which is that of the project.
        behind_server: Whether the files of a new experiment lie where the server of
            this database keeps them; if not, the store decides.

    Raises:
        DataError: If the experiment was deleted.
    """
    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        place = f"{files.SCHEME}:/{name}" if behind_server else None
        return client, client.create_experiment(name, place, _tags())
    number = experiment.experiment_id
    if experiment.lifecycle_stage != LifecycleStage.ACTIVE:
        raise DataError(
            f"{_shown(uri)}: expected the experiment {name}, found that it was "
            f"deleted; `MLFLOW_TRACKING_URI='{_shown(uri)}' mlflow experiments restore "
            f"--experiment-id {number}` brings it back with its runs"
        )
    for tag, text in _tags().items():
        if experiment.tags.get(tag) != text:
            client.set_experiment_tag(number, tag, text)
    return client, number


def _tags() -> dict[str, str]:
    columns = [f"metrics.`{name}`" for name in COLUMNS]
    return dict([KIND]) | {VIEW: json.dumps({"selectedColumns": columns})}


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
