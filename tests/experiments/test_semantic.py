"""The scorer of structures: one for all methods, by patient."""

from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from experiments.semantic import compare, mean_by_patient
from experiments.trials import PAIRS


def write(path: Path, rows: list[list[int]]) -> Path:
    """Write a label map as a picture."""
    path.parent.mkdir(exist_ok=True)
    PIL.Image.fromarray(np.array(rows, dtype=np.uint8)).save(path)
    return path


def test_a_patient_counts_once_however_many_cases_there_are(tmp_path: Path) -> None:
    """Dice by hand: 1 and 1/2 (of 2 and 2 pixels, 1 shared) of patient 1, 0 of 2."""
    references = tmp_path / "references"
    drawn = {
        "Image_01L": [[1, 1, 0]],
        "Image_01R": [[1, 1, 0]],
        "Image_02L": [[1, 0, 0]],
    }
    found = {
        "Image_01L": [[1, 1, 0]],
        "Image_01R": [[0, 1, 1]],
        "Image_02L": [[0, 0, 1]],
    }
    for name, rows in drawn.items():
        write(references / f"{name}.png", rows)
    files = {
        name: write(tmp_path / "found" / f"{name}.png", rows)
        for name, rows in found.items()
    }

    figures = compare(files, references, ["vessel"])
    assert figures["Dice"] == pytest.approx((0.75 + 0) / 2)
    assert figures[PAIRS] == [("Image_01", 1.0), ("Image_01", 0.5), ("Image_02", 0.0)]
    assert list(figures) == ["Dice", PAIRS]
    assert compare(files, references, ["vessel", "fovea"])["Dice vessel"] == 0.375


def test_false_findings_count_and_rightly_absent_structures_do_not(
    tmp_path: Path,
) -> None:
    write(tmp_path / "references" / "a.png", [[0, 0, 2]])
    files = {"a": write(tmp_path / "found" / "a.png", [[0, 1, 2]])}

    figures = compare(files, tmp_path / "references", ["cord", "brain", "bone"])
    assert figures["Dice"] == 0.5
    assert figures[PAIRS] == [("a", 0.0), ("a", 1.0), ("a", None)]


def test_unknown_scores_are_left_out_of_the_mean() -> None:
    assert mean_by_patient([("a", None), ("a", 0.5), ("b", None)]) == 0.5
