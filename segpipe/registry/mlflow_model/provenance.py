"""Provenance: what a registered segmenter was made from; it travels with it."""

import hashlib
from pathlib import Path
from typing import Literal

from segpipe.project.documents import Document
from segpipe.project.errors import DataError

FILE = "provenance.json"


class Provenance(Document):
    """provenance.json, in the folder that holds the folds of a segmenter.

    Attributes:
        format_version: Of this document.
        model: Name of the list models in params.yaml.
        digest: Of the segmenter: of one fold its own, else of the folds' digests.
        patients: Of every patient that a fold trained or validated on, the SHA-256 of
            the name, sorted: enough to tell who is new, and no list of names.
        data: md5 by which DVC knows the data; none without DVC.
        lock: md5 of dvc.lock; none without DVC.
        commit: Of git; none without git.
        dirty: Whether files differed from the commit.
        metrics: The figures of the test set.
    """

    format_version: Literal[1]
    model: str
    digest: str
    patients: tuple[str, ...]
    data: str | None
    lock: str | None
    commit: str | None
    dirty: bool
    metrics: dict[str, float]

    def knows(self, patient: str) -> bool:
        """Whether a fold trained or validated on a patient."""
        return patient_digest(patient) in self.patients


def patient_digest(patient: str) -> str:
    """What stands for a patient's name."""
    return hashlib.sha256(patient.encode()).hexdigest()


def read_provenance(folder: Path) -> Provenance:
    """The provenance of a segmenter in a folder, at whatever depth.

    Raises:
        DataError: If there is none, or several.
    """
    found = sorted(folder.rglob(FILE))
    if len(found) != 1:
        raise DataError(
            f"{folder}: expected one {FILE}, found {len(found)}; it comes with "
            "segmenters that `segpipe register` registered"
        )
    return Provenance.read(found[0])
