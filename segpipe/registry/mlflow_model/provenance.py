"""Provenance: the origin of a registered segmenter, in a file beside its folds."""

import hashlib
from pathlib import Path
from typing import Literal

from pydantic import Field

from segpipe.approval.records import Subject
from segpipe.project.documents import Document, is_empty
from segpipe.project.errors import DataError

FILE = "provenance.json"


class Provenance(Document):
    """provenance.json, in the folder that holds the folds of a segmenter.

    Attributes:
        format_version: Version of this document's format.
        model: Name of the model in params.yaml.
        digest: Digest of the segmenter: that of its only fold, or that of the folds'
            digests.
        patients: SHA-256 of the name of every patient that a fold trained or validated
            on, sorted: enough to recognize new patients without a list of names.
        data: MD5 by which DVC identifies the data; none without DVC.
        lock: MD5 of dvc.lock; none without DVC.
        commit: Commit in git; none without git.
        dirty: Whether files differed from the commit.
        metrics: Figures of the test set.
        code: Version of the segpipe that registered it, and the digest of its code;
            empty in versions that were registered before these were known.
        approval: That the version needs an approval wherever it is used on patients:
            review.yaml asked for it when it was registered.
        trainers: Names by which the people are known who trained it; only where there
            is a review.yaml.
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
    code: dict[str, str] = Field(default={})
    approval: Literal["required"] | None = Field(None, exclude_if=is_empty)
    trainers: tuple[str, ...] = Field((), exclude_if=is_empty)

    def knows(self, patient: str) -> bool:
        """Whether a fold trained or validated on a patient."""
        return patient_digest(patient) in self.patients

    def subject(self, name: str, version: str) -> Subject:
        """How signed records name the version."""
        return Subject(
            name=name,
            version=version,
            segmenter=self.digest,
            data=self.data,
            code=self.code.get("segpipe.code"),
            trainers=self.trainers,
        )


def patient_digest(patient: str) -> str:
    """SHA-256 that stands for a patient's name."""
    return hashlib.sha256(patient.encode()).hexdigest()


def read_provenance(folder: Path) -> Provenance:
    """Read the provenance of the segmenter in a folder, at any depth.

    Raises:
        DataError: If there is none, or more than one.
    """
    found = sorted(folder.rglob(FILE))
    if len(found) != 1:
        raise DataError(
            f"{folder}: expected one {FILE}, found {len(found)}; `segpipe register` "
            "writes it into each version"
        )
    return Provenance.read(found[0])
