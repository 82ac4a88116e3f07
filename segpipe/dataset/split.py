"""Split: which cases train, validate and test, and the side that patients keep."""

import hashlib
from pathlib import Path
from typing import Literal

from pydantic import Field

from segpipe.project.documents import Document, is_empty
from segpipe.project.errors import DataError

LOCK = "split.lock"
DIGITS = 12  # of a patient's digest: of a million, two agree once in 560 times


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
        groups: The value of each case, by the columns that the split spreads besides
            the site; a case without one is left out.
    """

    format_version: Literal[1]
    test: tuple[str, ...]
    folds: tuple[Fold, ...]
    groups: dict[str, dict[str, str]] = Field(default_factory=dict, exclude_if=is_empty)


class SplitLock(Document):
    """split.lock: the side of every patient that was ever assigned, kept in git.

    Attributes:
        format_version: Version of this document.
        seed: Seed of the assignment.
        test_fraction: Wanted share of patients to test.
        n_folds: Number of folds.
        sides: Side of each patient, by pseudonym: ``test``, or the number of the fold
            in which the patient validates.
    """

    format_version: Literal[1]
    seed: int
    test_fraction: float
    n_folds: int
    sides: dict[str, Literal["test"] | int]


def lock_file(root: Path) -> Path:
    """The file of the sides that patients keep, in the project's root."""
    return root / LOCK


def read_lock(file: Path) -> SplitLock:
    """Read the sides that patients keep.

    Raises:
        DataError: If the file is damaged, such as by a merge of two branches.
    """
    try:
        return SplitLock.read(file)
    except DataError as error:
        raise DataError(
            f"{file}: expected the sides that patients keep, found another content "
            f"({error}); restore the file that git has: `git checkout HEAD -- "
            f"{file.name}`"
        ) from error


def pseudonym(patient: str) -> str:
    """The name of a patient in split.lock: git may be read by more than the data.

    It is no anonymity: with a list of names one can try them all.
    """
    return hashlib.sha256(patient.encode()).hexdigest()[:DIGITS]


def split_file(artifacts: Path) -> Path:
    """The file of the split."""
    return artifacts / "split" / "split.json"


def read_split(artifacts: Path) -> Split:
    """Read the split that the stage split wrote."""
    return Split.read(split_file(artifacts))
