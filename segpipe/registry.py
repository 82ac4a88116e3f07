"""Registered segmenters: MLflow."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import mlflow
from mlflow.exceptions import MlflowException

from segpipe.errors import DataError
from segpipe.paths import Paths
from segpipe.tracking import connect, tracking_uri

SCHEME = "models:/"


@dataclass(frozen=True)
class Registered:
    """A version of a registered segmenter, fetched.

    Attributes:
        folder: Where its files lie now.
        name: Of the registered model.
        version: Number of the version.
        run: The MLflow run that it came from, if the registry says so.
    """

    folder: Path
    name: str
    version: str
    run: str | None


def fetch(uri: str, paths: Paths) -> Registered:
    """Fetch ``models:/NAME@ALIAS`` or ``models:/NAME/VERSION``; once fetched, it stays.

    Raises:
        DataError: If there is no such version, or the registry cannot be reached.
    """
    try:
        client, _ = connect(paths)
        rest = uri.removeprefix(SCHEME)
        name, _, alias = rest.rpartition("@")
        if name:
            version = client.get_model_version_by_alias(name, alias)
        else:
            name, _, number = rest.rpartition("/")
            version = client.get_model_version(name, number)
        goal = paths.cache / "registry" / name / str(version.version)
        if not goal.is_dir():
            part = goal.with_name(f".{goal.name}.part")
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir(parents=True)
            mlflow.artifacts.download_artifacts(
                artifact_uri=f"{SCHEME}{name}/{version.version}",
                dst_path=str(part),
                tracking_uri=tracking_uri(paths),
            )
            part.rename(goal)
    except MlflowException as error:
        raise DataError(
            f"{uri}: expected a registered segmenter, found {error.message}; "
            "look at the names with `mlflow ui`, or set MLFLOW_TRACKING_URI"
        ) from error
    return Registered(goal, name, str(version.version), version.run_id or None)
