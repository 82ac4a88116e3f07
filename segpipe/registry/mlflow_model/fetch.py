"""Fetch: find the segmenter of a folder or of the registry, and identify it."""

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from segpipe.project.documents import Document
from segpipe.project.errors import DataError
from segpipe.project.fingerprint import digest_json
from segpipe.project.paths import Paths
from segpipe.registry.store import SEGMENTER, connect, first_line, tracking_uri
from segpipe.segmenter.segmenter import Segmenter
from segpipe.segmenter.spec import (
    SPEC,
    SegmenterSpec,
    ensemble_digest,
    segmenter_digest,
    spec_file,
)

SCHEME = "models:/"


@dataclass(frozen=True)
class Registered:
    """A version of a registered segmenter whose files are on this machine.

    Attributes:
        folder: Folder of its files.
        name: Name of the registered model.
        version: Number of the version.
        run: Id of the MLflow run that it came from, if the registry knows it.
        digest: Digest of the segmenter, if the registry knows it.
    """

    folder: Path
    name: str
    version: str
    run: str | None
    digest: str | None


def fetch(uri: str, paths: Paths) -> Registered:
    """Fetch ``models:/NAME@ALIAS`` or ``models:/NAME/VERSION`` into the cache, once.

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
        folder = _download(client, version, paths)
    except MlflowException as error:
        raise DataError(
            f"{uri}: expected a registered segmenter, found {error.message}; "
            "`segpipe models` lists the names; or set MLFLOW_TRACKING_URI"
        ) from error
    except OSError as error:
        raise DataError(
            f"{uri}: expected to fetch its files from {tracking_uri(paths)}, found "
            f"{first_line(error)}; check the artifact store and the free disk space"
        ) from error
    run, digest = version.run_id or None, version.tags.get(SEGMENTER)
    return Registered(folder, name, str(version.version), run, digest)


def _download(client: MlflowClient, version: ModelVersion, paths: Paths) -> Path:
    """Folder of a version's files in the cache: complete, or absent.

    Two servers may both have a version 1 of a name, so the folder's name also contains
    a digest of where the version came from.
    """
    number = str(version.version)
    made = [version.source, version.run_id, version.creation_timestamp]
    key = f"{number}-{digest_json(made)[:12]}"
    goal: Path = paths.cache / "registry" / version.name / key
    if goal.is_dir():
        os.utime(goal)  # prune looks at when it was last used
        return goal
    goal.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{key}.", dir=goal.parent))
    try:
        mlflow.artifacts.download_artifacts(
            artifact_uri=client.get_model_version_download_uri(version.name, number),
            dst_path=str(part),
            tracking_uri=tracking_uri(paths),
        )
        part.chmod(0o755)  # mkdtemp allows only its owner
        try:
            part.rename(goal)
        except OSError:
            if not goal.is_dir():  # otherwise another process was faster
                raise
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return goal


class SegmenterRecord(Document):
    """Identity of a segmenter.

    Attributes:
        name: Name of the model in params.yaml, or of the registered model.
        version: Version of the registered model; none for a folder.
        digest: Digest of the segmenter: that of its only fold, or that of the folds'
            digests.
        folds: Digest of the spec and weights of each fold.
        run: Id of the MLflow run that the version came from, if the registry knows it.
    """

    name: str
    version: str | None
    digest: str
    folds: tuple[str, ...]
    run: str | None


def load_segmenter(model: str, paths: Paths) -> tuple[Segmenter, SegmenterRecord]:
    """Load the segmenter of a folder or of the registry, and identify it.

    Raises:
        DataError: If there is none, or it is not the one that was registered.
    """
    folders, record = locate_segmenter(model, paths)
    return Segmenter.ensemble(folders), record


def locate_segmenter(model: str, paths: Paths) -> tuple[list[Path], SegmenterRecord]:
    """Find the folders of a segmenter's folds, fetched if needed, and identify it.

    Raises:
        DataError: If there is none, or it is not the one that was registered.
    """
    name, version, run, expected = None, None, None, None
    folder = Path(model)
    if model.startswith(SCHEME):
        registered = fetch(model, paths)
        folder = registered.folder
        name, version, run = registered.name, registered.version, registered.run
        expected = registered.digest
    folders = find_folds(folder)
    digests = tuple(segmenter_digest(one) for one in folders)
    record = SegmenterRecord(
        name=name or SegmenterSpec.read(spec_file(folders[0])).model,
        version=version,
        digest=ensemble_digest(digests),
        folds=digests,
        run=run,
    )
    if expected is not None and record.digest != expected:
        raise DataError(
            f"{folder}: expected the segmenter {expected[:12]} that was registered as "
            f"{model}, found {record.digest[:12]}; delete the folder, which is a copy, "
            "and try again; if the error remains, the registry's files were changed"
        )
    return folders, record


def find_folds(folder: Path) -> list[Path]:
    """The segmenter folder itself, or those that it contains, by number of the fold.

    Raises:
        DataError: If there is none.
    """
    if spec_file(folder).is_file():
        return [folder]
    found = sorted(
        (spec.parent for spec in folder.glob(f"**/{SPEC}")),
        key=lambda path: [
            (not part.isdecimal(), int(part) if part.isdecimal() else 0, part)
            for part in path.relative_to(folder).parts
        ],
    )
    if not found:
        raise DataError(
            f"{folder}: expected a segmenter ({SPEC} and weights), or a folder of "
            "folds such as artifacts/train/MODEL, found none; train one with `dvc "
            f"repro`, or name a registered one: {SCHEME}NAME@ALIAS"
        )
    return found
