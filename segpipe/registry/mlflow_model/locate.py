"""Locate: find the segmenter of a folder or of the registry, and identify it."""

import logging
from pathlib import Path

from segpipe.approval.use import is_required
from segpipe.project.documents import Document
from segpipe.project.paths import Paths
from segpipe.segmenter.segmenter import Segmenter
from segpipe.segmenter.spec import (
    SCHEME,
    SegmenterSpec,
    ensemble_digest,
    find_folds,
    segmenter_digest,
    spec_file,
)

log = logging.getLogger(__name__)
UNREGISTERED = (
    "%s is a folder and no registered version: no approval was asked for, as the "
    "policy of this project would; use it on nobody"
)


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

    A registered version must be approved where the policy asks for it.

    Raises:
        DataError: If there is none, it is not the one that was registered, or it may
            not be used on patients now.
    """
    if model.startswith(SCHEME):
        # MLflow takes longer to import than most images to segment.
        from segpipe.registry.mlflow_model.approved import fetch_approved

        registered = fetch_approved(model, paths)
        name, version, run = registered.name, registered.version, registered.run
        folds = registered.folds
    else:
        folds = {one: segmenter_digest(one) for one in find_folds(Path(model))}
        spec = SegmenterSpec.read(spec_file(next(iter(folds))))
        name, version, run = spec.model, None, None
        if is_required(paths.root, sealed=False):
            log.warning(UNREGISTERED, model)
    digests = tuple(folds.values())
    record = SegmenterRecord(
        name=name,
        version=version,
        digest=ensemble_digest(digests),
        folds=digests,
        run=run,
    )
    return list(folds), record
