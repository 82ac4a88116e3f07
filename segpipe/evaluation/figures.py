"""Figures: the results of a model on the test cases, and the files that hold them."""

import csv
import math
import shutil
from collections import defaultdict
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Int64
from pydantic import model_validator

from segpipe.evaluation.scores import Row, mean_known
from segpipe.project.documents import Document, Unit, write_text
from segpipe.project.errors import DataError
from segpipe.project.tables import table_text, unmarked

ROWS = "cases.csv"
Rows = dict[tuple[str, str], Row]  # by case and structure
Summary = dict[str, int | float | None]  # name of a figure to its value


class Figures(Document):
    """Results of a model on the test cases; None where a figure is not defined.

    Attributes:
        format_version: Version of this document.
        model: Name of the model.
        policy: Text that says how empty structures and failures count.
        unit: Unit of lengths; the names of figures end in it.
        cases: Number of test cases.
        test: Means over cases and structures.
        structures: The same for each structure, by its name.
        dataset: Figures of all test voxels together, some of them by class.
        instances: Figures of the instances; None without instance annotation.
        instance_iou: IoU above which two instances match.
        groups: Column of patients.csv to value to the means over its cases.
        surface_tolerance: Tolerance of surface Dice, in the unit; None in figures that
            an older segpipe wrote.
    """

    format_version: Literal[1]
    model: str
    policy: str
    unit: Unit
    cases: int
    test: Summary
    structures: dict[str, Summary]
    dataset: dict[str, Any]
    instances: dict[str, Any] | None
    groups: dict[str, dict[str, dict[str, Any]]]
    instance_iou: float = 0.5  # older figures do not say it
    surface_tolerance: float | None = None

    @model_validator(mode="before")
    @classmethod
    def _replace_nan(cls, document: Any) -> Any:
        """Take None for NaN, which JSON does not know."""
        return _without_nan(document)


def _without_nan(document: Any) -> Any:
    if isinstance(document, dict):
        return {name: _without_nan(value) for name, value in document.items()}
    if isinstance(document, float) and math.isnan(document):
        return None
    return document


def figures_file(artifacts: Path, model: str) -> Path:
    """The file of the figures of a model."""
    return artifacts / "evaluate" / model / "metrics.json"


def rows_file(artifacts: Path, model: str) -> Path:
    """The file of the figures of each case and structure of a model."""
    return artifacts / "evaluate" / model / ROWS


def write_figures(
    artifacts: Path,
    figures: Figures,
    *,
    rows: list[Row],
    confusion: Int64[np.ndarray, "classes classes"],
    classes: tuple[str, ...],
) -> None:
    """Write the figures of a model in place of earlier ones.

    Args:
        artifacts: Folder of all stages.
        figures: Means and sums.
        rows: Figures of each case and structure; written with the case of the lowest
            mean Dice first.
        confusion: Voxels by their class in the reference (rows) and predicted
            (columns).
        classes: Name of each class.
    """
    file = figures_file(artifacts, figures.model)
    shutil.rmtree(file.parent, ignore_errors=True)
    figures.write(file)
    write_text(rows_file(artifacts, figures.model), _csv(_worst_first(rows)))
    counts = [
        {"reference": name, **dict(zip(classes, line.tolist(), strict=True))}
        for name, line in zip(classes, confusion, strict=True)
    ]
    write_text(file.with_name("confusion.csv"), _csv(counts))


def _worst_first(rows: list[Row]) -> list[Row]:
    """Rows of the case with the lowest mean Dice first; empty structures last."""
    scores = defaultdict(list)
    for row in rows:
        scores[row["case"]].append(row["dice"])

    def rank(row: Row) -> tuple[float, str]:
        mean = mean_known(scores[row["case"]])
        return (2.0 if math.isnan(mean) else mean, row["case"])

    return sorted(rows, key=rank)


def _csv(rows: list[Row]) -> str:
    cells = [{name: _cell(value) for name, value in row.items()} for row in rows]
    names = list(rows[0]) if rows else ["case", "structure"]  # of no test case
    return table_text(names, cells)


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6g}"
    return value


def read_figures(artifacts: Path, model: str) -> Figures:
    """Read the figures of a model.

    Raises:
        DataError: If the model is not evaluated.
    """
    return Figures.read(figures_file(artifacts, model))


def read_rows(artifacts: Path, model: str) -> Rows:
    """Read the figures of each case and structure of a model, six digits a value.

    Returns:
        Rows by case and structure; ``failed`` is a bool, every other figure a float,
        NaN where there is none.

    Raises:
        DataError: If the model is not evaluated.
    """
    file = rows_file(artifacts, model)
    if not file.is_file():
        raise DataError(f"{file}: expected figures, found none; run `dvc repro`")
    with file.open(encoding="utf-8", newline="") as text:
        return {
            (unmarked(row["case"]), unmarked(row["structure"])): {
                name: _value(name, value) for name, value in row.items()
            }
            for row in csv.DictReader(text)
        }


def _value(name: str, text: str) -> Any:
    if name in ("case", "structure"):
        return unmarked(text)
    return text == "True" if name == "failed" else float(text or "nan")
