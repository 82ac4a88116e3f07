"""Split: which cases train, validate and test, and the side that patients keep."""

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


class SplitLock(Document):
    """split.lock: the side of every patient that was ever assigned, kept in git.

    Attributes:
        format_version: Version of this document.
        seed: Seed of the assignment.
        test_fraction: Wanted share of patients to test.
        n_folds: Number of folds.
        sides: Side of each patient: ``test``, or the number of the fold in which the
            patient validates.
    """

    format_version: Literal[1]
    seed: int
    test_fraction: float
    n_folds: int
    sides: dict[str, Literal["test"] | int]


def lock_file(root: Path) -> Path:
    """The file of the sides that patients keep, in the project's root."""
    return root / "split.lock"


def split_file(artifacts: Path) -> Path:
    """The file of the split."""
    return artifacts / "split" / "split.json"


def read_split(artifacts: Path) -> Split:
    """Read the split that the stage split wrote."""
    return Split.read(split_file(artifacts))
