"""Fetch: the segmenter of a folder or of the registry, and which segmenter it is."""

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
from segpipe.registry.runs import SEGMENTER
from segpipe.registry.store import connect, first_line, tracking_uri
from segpipe.segmenter.segmenter import Segmenter, ensemble_digest, segmenter_digest
from segpipe.segmenter.spec import SegmenterSpec

SCHEME = "models:/"


@dataclass(frozen=True)
class Registered:
    """A version of a registered segmenter, fetched.

    Attributes:
        folder: Where its files lie now.
        name: Of the registered model.
        version: Number of the version.
        run: The MLflow run that it came from, if the registry says so.
        digest: Of the segmenter, if the registry says so.
    """

    folder: Path
    name: str
    version: str
    run: str | None
    digest: str | None


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
        folder = _download(client, version, paths)
    except MlflowException as error:
        raise DataError(
            f"{uri}: expected a registered segmenter, found {error.message}; "
            "look at the names with `segpipe models`, or set MLFLOW_TRACKING_URI"
        ) from error
    except OSError as error:
        raise DataError(
            f"{uri}: expected to fetch its files from {tracking_uri(paths)}, found "
            f"{first_line(error)}; is the artifact store there, and the disk not full?"
        ) from error
    run, digest = version.run_id or None, version.tags.get(SEGMENTER)
    return Registered(folder, name, str(version.version), run, digest)


def _download(client: MlflowClient, version: ModelVersion, paths: Paths) -> Path:
    """The folder of a version's files in the cache; whole, or not there.

    Two servers may both have a version 1 of a name: the folder's name tells them apart.
    """
    number = str(version.version)
    made = [version.source, version.run_id, version.creation_timestamp]
    key = f"{number}-{digest_json(made)[:12]}"
    goal: Path = paths.cache / "registry" / version.name / key
    if goal.is_dir():
        return goal
    goal.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{key}.", dir=goal.parent))
    try:
        mlflow.artifacts.download_artifacts(
            artifact_uri=client.get_model_version_download_uri(version.name, number),
            dst_path=str(part),
            tracking_uri=tracking_uri(paths),
        )
        part.chmod(0o755)  # mkdtemp lets nobody else in
        try:
            part.rename(goal)
        except OSError:
            if not goal.is_dir():  # else another process was faster
                raise
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return goal


class SegmenterRecord(Document):
    """Which segmenter it was.

    Attributes:
        name: Of the model in params.yaml, or of the registered model.
        version: Of the registered model; none for a folder.
        digest: Of the whole: of one fold its own, else of the folds' digests.
        folds: Digest of the spec and weights of each fold.
        run: MLflow run that the registered version came from, if it says so.
    """

    name: str
    version: str | None
    digest: str
    folds: tuple[str, ...]
    run: str | None


def load_segmenter(model: str, paths: Paths) -> tuple[Segmenter, SegmenterRecord]:
    """The segmenter of a folder or of the registry, and which it is.

    Raises:
        DataError: If there is none, or another than was registered.
    """
    folders, record = locate_segmenter(model, paths)
    return Segmenter.ensemble(folders), record


def locate_segmenter(model: str, paths: Paths) -> tuple[list[Path], SegmenterRecord]:
    """Where the folds of a segmenter lie, fetched if need be, and which it is.

    Raises:
        DataError: If there is none, or another than was registered.
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
        name=name or SegmenterSpec.read(folders[0] / "spec.json").model,
        version=version,
        digest=ensemble_digest(digests),
        folds=digests,
        run=run,
    )
    if expected is not None and record.digest != expected:
        raise DataError(
            f"{folder}: expected the segmenter {expected[:12]} that was registered as "
            f"{model}, found {record.digest[:12]}; delete the folder, which is a copy, "
            "and ask again; if it stays so, the registry's files were changed"
        )
    return folders, record


def find_folds(folder: Path) -> list[Path]:
    """The segmenter folders that a folder is or holds, by the number of the fold.

    Raises:
        DataError: If there is none.
    """
    if (folder / "spec.json").is_file():
        return [folder]
    found = sorted(
        (spec.parent for spec in folder.glob("**/spec.json")),
        key=lambda path: [
            (not part.isdecimal(), int(part) if part.isdecimal() else 0, part)
            for part in path.relative_to(folder).parts
        ],
    )
    if not found:
        raise DataError(
            f"{folder}: expected a segmenter (spec.json and weights), or a folder of "
            "folds such as artifacts/train/MODEL, found none; train one with `dvc "
            f"repro`, or name a registered one, {SCHEME}NAME@ALIAS"
        )
    return found
