"""Figures are read as they were written; what is unknown stays unknown."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from segpipe.evaluation.figures import (
    Figures,
    figures_file,
    read_figures,
    read_rows,
    rows_file,
    write_figures,
)
from segpipe.evaluation.scores import Row
from segpipe.project.errors import DataError
from tests.support.evaluations import make_figures

NAN = float("nan")
CONFUSION = np.array([[5, 1], [2, 3]])


def row(case: str, dice: float, *, failed: bool = False) -> Row:
    return {
        "case": case,
        "structure": "liver",
        "failed": failed,
        "dice": dice,
        "hd95_mm": 1 / 3,
    }


def write(artifacts: Path, figures: Figures, rows: list[Row]) -> None:
    write_figures(
        artifacts,
        figures,
        rows=rows,
        confusion=CONFUSION,
        classes=("background", "liver"),
    )


def test_nan_is_null_in_json_wherever_it_stands(tmp_path: Path) -> None:
    figures = make_figures(NAN, dataset={"dice_dataset": {"liver": NAN, "fat": 0.5}})
    write(tmp_path, figures, [row("a", 0.5)])

    document = json.loads(figures_file(tmp_path, "m").read_text())
    assert document["test"]["dice_mean"] is None
    assert document["structures"]["liver"]["dice_mean"] is None
    assert document["dataset"]["dice_dataset"] == {"liver": None, "fat": 0.5}
    assert list(document) == list(Figures.model_fields)
    assert read_figures(tmp_path, "m") == figures


def test_whole_numbers_stay_whole_and_others_do_not(tmp_path: Path) -> None:
    write(tmp_path, make_figures(1.0, failed=2), [row("a", 1.0)])

    text = figures_file(tmp_path, "m").read_text()
    assert '"dice_mean": 1.0' in text
    assert '"n_failed": 2,' in text
    assert read_figures(tmp_path, "m") == make_figures(1.0, failed=2)


def test_the_worst_case_comes_first_and_the_empty_one_last(tmp_path: Path) -> None:
    rows = [row("a", 0.9), row("b", NAN), row("c", 0.0, failed=True)]
    write(tmp_path, make_figures(), rows)

    assert rows_file(tmp_path, "m").read_text() == (
        "case,structure,failed,dice,hd95_mm\n"
        "c,liver,True,0,0.333333\n"
        "a,liver,False,0.9,0.333333\n"
        "b,liver,False,,0.333333\n"
    )
    found = read_rows(tmp_path, "m")
    assert [case for case, _ in found] == ["c", "a", "b"]
    assert found["c", "liver"] == row("c", 0.0, failed=True) | {"hd95_mm": 0.333333}
    assert math.isnan(found["b", "liver"]["dice"])


def test_the_confusion_is_written_by_name(tmp_path: Path) -> None:
    write(tmp_path, make_figures(), [row("a", 0.5)])

    file = figures_file(tmp_path, "m").with_name("confusion.csv")
    assert file.read_text() == "reference,background,liver\nbackground,5,1\nliver,2,3\n"


def test_earlier_files_of_a_model_go(tmp_path: Path) -> None:
    folder = figures_file(tmp_path, "m").parent
    folder.mkdir(parents=True)
    (folder / "old.csv").touch()

    write(tmp_path, make_figures(), [row("a", 0.5)])

    assert not (folder / "old.csv").exists()


def test_a_model_that_is_not_evaluated_is_refused_with_the_mend(
    tmp_path: Path,
) -> None:
    with pytest.raises(DataError, match=r"other/.*run `dvc repro`"):
        read_figures(tmp_path, "other")
    with pytest.raises(DataError, match=r"cases\.csv: expected figures, found none"):
        read_rows(tmp_path, "other")
