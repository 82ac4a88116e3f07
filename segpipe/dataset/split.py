"""Split: on which side each case stands."""

from pathlib import Path
from typing import Literal

from segpipe.project.documents import Document


class Fold(Document):
    """Cases to learn from and cases to choose the best network by."""

    training: tuple[str, ...]
    validation: tuple[str, ...]


class Split(Document):
    """split.json: on which side each case stands; a patient stands on one only.

    Attributes:
        format_version: Of this document.
        test: Cases that nothing before predict looks at.
        folds: One training and validation set a fold.
    """

    format_version: Literal[1]
    test: tuple[str, ...]
    folds: tuple[Fold, ...]


def read_split(artifacts: Path) -> Split:
    """What the stage split wrote."""
    return Split.read(artifacts / "split" / "split.json")
