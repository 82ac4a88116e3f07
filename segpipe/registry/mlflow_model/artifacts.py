"""Artifacts: the files of runs and models, beside a database or behind its server.

MLflow itself reaches files of the scheme mlflow-artifacts through a server only. This
module is an entry point of MLflow (pyproject.toml), so that programs that know nothing
of segpipe find the files of a project's own store, too. MLflow loads it while it is
being imported itself; so what is imported of it is imported in the function.
"""

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlparse

from segpipe.project.paths import Paths, sqlite_file

if TYPE_CHECKING:
    from mlflow.store.artifact.artifact_repo import ArtifactRepository

SCHEME = "mlflow-artifacts"


def open_artifacts(
    artifact_uri: str, tracking_uri: str | None = None, registry_uri: str | None = None
) -> "ArtifactRepository":
    """Open the files of a run or model.

    Args:
        artifact_uri: Their place, ``mlflow-artifacts:/…``.
        tracking_uri: The store; by default MLflow's own choice.
        registry_uri: Not used.

    Raises:
        MlflowException: If the place leads out of the folder of the files.
    """
    import mlflow
    from mlflow.exceptions import MlflowException
    from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository
    from mlflow.store.artifact.mlflow_artifacts_repo import MlflowArtifactsRepository

    uri = tracking_uri or mlflow.get_tracking_uri()
    if not uri.startswith("sqlite"):
        return MlflowArtifactsRepository(artifact_uri, uri, registry_uri)
    folder = find_files(uri).resolve()
    place = (folder / unquote(urlparse(artifact_uri).path).lstrip("/")).resolve()
    if not place.is_relative_to(folder):
        raise MlflowException(f"{artifact_uri}: leads out of {folder}")
    return LocalArtifactRepository(place.as_uri())


def find_files(uri: str) -> Path:
    """The folder beside a database in which the files of its runs lie."""
    return Paths(sqlite_file(uri).parent.resolve()).store_files
