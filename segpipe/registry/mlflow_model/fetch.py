"""Fetch: bring a registered segmenter onto this machine, and check its files."""

import logging
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from segpipe.project.errors import DataError
from segpipe.project.fingerprint import digest_file, digest_json
from segpipe.project.paths import Paths
from segpipe.registry.mlflow_model.provenance import FILE, read_provenance
from segpipe.registry.store import (
    SEAL,
    SEGMENTER,
    connect,
    first_line,
    shown_uri,
    tracking_uri,
)
from segpipe.segmenter.spec import (
    SCHEME,
    ensemble_digest,
    find_folds,
    list_folds,
    segmenter_digest,
)

log = logging.getLogger(__name__)
UNSEALED = (
    f"%s has no seal in the registry: whether its {FILE} was changed since it was "
    "registered is not known; versions that are registered now have one"
)


@dataclass(frozen=True)
class Registered:
    """A version of a registered segmenter whose files are on this machine.

    Attributes:
        folder: Folder of its files.
        name: Name of the registered model.
        version: Number of the version.
        run: Id of the MLflow run that it came from, if the registry knows it.
        folds: Folder of the segmenter of each fold, by number, to its digest.
        sealed: Whether the registry has the digests of the segmenter and of its
            provenance, which were then compared with the files.
        tags: All tags of the version.
    """

    folder: Path
    name: str
    version: str
    run: str | None
    folds: dict[Path, str]
    sealed: bool
    tags: dict[str, str]


def fetch(uri: str, paths: Paths) -> Registered:
    """Fetch ``models:/NAME@ALIAS`` or ``models:/NAME/VERSION`` into the cache, once.

    Each time, the files are compared with the digests in the version's tags, and the
    segmenter with the one that its provenance names. A version
    without these tags, registered before there were such, is taken with a warning.

    Raises:
        DataError: If there is no such version, its files are not those that were
            registered, or the registry cannot be reached.
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
            f"{uri}: expected a registered segmenter, found none (MLflow: "
            f"{error.message}); `segpipe models` lists names, versions and aliases; or "
            "set MLFLOW_TRACKING_URI"
        ) from error
    except OSError as error:
        raise DataError(
            f"{uri}: expected to fetch its files from {shown_uri(paths)}, found "
            f"{first_line(error)}; check the artifact store and the free disk space"
        ) from error
    folds = _check_files(folder, uri, version.tags)
    _check_provenance(folder, uri, folds)
    sealed = {SEGMENTER, SEAL} <= set(version.tags)
    if not sealed:
        log.warning(UNSEALED, uri)
    run = version.run_id or None
    number, tags = str(version.version), dict(version.tags)
    return Registered(folder, name, number, run, folds, sealed, tags)


def _check_files(folder: Path, uri: str, tags: dict[str, str]) -> dict[Path, str]:
    """Compare the files of a version with the digests in its tags.

    Returns:
        Folder of the segmenter of each fold, by number, to its digest.

    Raises:
        DataError: If they are others.
    """
    folders = list_folds(folder) if SEGMENTER in tags else find_folds(folder)
    folds = {one: segmenter_digest(one) for one in folders}
    files = list(folder.rglob(FILE))
    found = {
        SEGMENTER: ensemble_digest(list(folds.values())) if folds else "none",
        SEAL: digest_file(files[0]) if len(files) == 1 else f"{len(files)} files",
    }
    for tag, what in ((SEGMENTER, "segmenter"), (SEAL, FILE)):
        if tag in tags and found[tag] != tags[tag]:
            raise DataError(
                f"{folder}: expected the {what} {tags[tag][:12]} that was registered "
                f"as {uri}, found {found[tag][:12]}; delete the folder, which is a "
                f"copy, and try again; if the error remains, the registry's files or "
                f"the tag {tag} were changed: put a backup back, or delete the version "
                "on MLflow's page and register the model again"
            )
    return folds


def _check_provenance(folder: Path, uri: str, folds: dict[Path, str]) -> None:
    """Compare the segmenter with the one that its provenance names.

    Tags are no evidence: whoever may write them can also exchange the files.

    Raises:
        DataError: If it is another.
    """
    if not any(folder.rglob(FILE)):
        return  # registered before there was one
    named, found = read_provenance(folder).digest, ensemble_digest([*folds.values()])
    if named != found:
        raise DataError(
            f"{folder}: expected the segmenter {named[:12]} that {FILE} of {uri} "
            f"names, found {found[:12]}: the registry's files and tags were changed; "
            "put a backup of them back and delete the folder, which is a copy, or "
            "register the model again"
        )


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
