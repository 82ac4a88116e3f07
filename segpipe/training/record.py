"""The record of a training: what it was made from and how each of its epochs went."""

import csv
import io
import math
from pathlib import Path
from typing import Any, Literal

from segpipe.project.documents import Document, write_text
from segpipe.project.errors import DataError

RECORD = "fingerprint.json"
# Columns of the history with validation figures, and what people call them.
DICE, PRECISION = "validation_dice", "validation_instance_ap"
WORDS = {
    DICE: "Dice",
    "validation_iou": "IoU",
    "validation_pa": "Pixel accuracy",
    PRECISION: "AP of instances",
}
# One row an epoch, column to value; NaN where a figure is unknown.
History = list[dict[str, float]]


class TrainingRecord(Document):
    """What a training was made from.

    Attributes:
        format_version: Version of this document.
        fingerprint: Key of this training: changes with everything that it depends on.
        parent: Key that the folds of one model share.
        fold: Number of the fold.
        model: Name of the model in params.yaml.
        params: The section train.MODEL.
        compute: Device, precision and threads, and the number of processes.
        inputs: SHA-256 of each document of an earlier stage, by name.
        versions: Version of each package that computes.
        kept_epoch: The epoch whose network was kept; None before the training ended,
            and in records that were written before they had it.
        warnings: What the validation could not judge, in sentences.
    """

    format_version: Literal[1]
    fingerprint: str
    parent: str
    fold: int
    model: str
    params: dict[str, Any]
    compute: dict[str, Any]
    inputs: dict[str, str]
    versions: dict[str, str]
    kept_epoch: int | None = None
    warnings: tuple[str, ...] = ()


def name_figure(column: str) -> str | None:
    """What people call a validation figure; None for other columns of the history."""
    if column.startswith(f"{DICE}/"):
        return f"Dice, {column.removeprefix(f'{DICE}/')}"
    return WORDS.get(column)


def training_folder(artifacts: Path, model: str, fold: int) -> Path:
    """The folder of a training."""
    return artifacts / "train" / model / str(fold)


def find_trainings(artifacts: Path) -> list[Path]:
    """The folders of all finished trainings."""
    return sorted(file.parent for file in artifacts.glob(f"train/*/*/{RECORD}"))


def segmenter_folder(training: Path) -> Path:
    """The folder of the segmenter in the folder of a training."""
    return training / "segmenter"


def record_file(training: Path) -> Path:
    """The file of the record in the folder of a training."""
    return training / RECORD


def history_file(training: Path, *, coarse: bool = False) -> Path:
    """The file of the history in the folder of a training, or of its coarse network."""
    return training / ("coarse_history.csv" if coarse else "history.csv")


def read_record(training: Path) -> TrainingRecord:
    """Read the record in the folder of a training.

    Raises:
        DataError: If there is none, or it was written in another format.
    """
    return TrainingRecord.read(record_file(training))


def read_history(training: Path) -> History:
    """Read the history in the folder of a training.

    Raises:
        DataError: If there is none.
    """
    file = history_file(training)
    if not file.is_file():
        raise DataError(
            f"{file}: expected a finished training, found none; run `dvc repro`"
        )
    with file.open(encoding="utf-8", newline="") as text:
        return [
            {name: float(value or "nan") for name, value in row.items()}
            for row in csv.DictReader(text)
        ]


def read_kept_row(training: Path) -> dict[str, float]:
    """Read the row of the history of the epoch whose network was kept.

    A record without ``kept_epoch`` is of a training that kept the first epoch with the
    best validation Dice.

    Raises:
        DataError: If there is no finished training.
    """
    history, kept = read_history(training), read_record(training).kept_epoch
    if kept is None:
        return max(
            history,
            key=lambda row: (
                -1.0 if math.isnan(row["validation_dice"]) else row["validation_dice"]
            ),
        )
    return next(row for row in history if row["epoch"] == kept)


def write_history(training: Path, history: History, *, coarse: bool = False) -> None:
    """Write the history into the folder of a training, nine digits a value."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(history[0]), lineterminator="\n")
    writer.writeheader()
    for row in history:
        writer.writerow(
            {k: "" if math.isnan(v) else f"{v:.9g}" for k, v in row.items()}
        )
    write_text(history_file(training, coarse=coarse), text.getvalue())
