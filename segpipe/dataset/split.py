"""Split: which cases train, validate and test."""

from pathlib import Path
from typing import Literal

from segpipe.project.documents import Document


class Fold(Document):
    """Cases to train on and cases that choose the best network."""

    training: tuple[str, ...]
    validation: tuple[str, ...]


class Split(Document):
    """The cases to test and the folds; all cases of a patient are on one side.

    Attributes:
        format_version: Version of this document.
        test: Cases that no stage before predict reads, except verify.
        folds: One training and validation set a fold.
    """

    format_version: Literal[1]
    test: tuple[str, ...]
    folds: tuple[Fold, ...]


def split_file(artifacts: Path) -> Path:
    """The file of the split."""
    return artifacts / "split" / "split.json"


def read_split(artifacts: Path) -> Split:
    """Read the split that the stage split wrote."""
    return Split.read(split_file(artifacts))
