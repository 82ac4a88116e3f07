"""The page ranks what trials left, and compares what claims are about."""

import math
from pathlib import Path
from typing import Any

import pytest

from experiments.leaderboard.board import (
    build_claims,
    build_csv,
    build_page,
    build_rows,
    mean_of,
    read_results,
    score_of,
    short,
)
from experiments.leaderboard.sets import BOARDS
from experiments.leaderboard.trial import result_file
from segpipe.project.documents import write_json
from segpipe.project.errors import DataError

ALL_TEN = {"n_reference": 2, "n_predicted": 2, "hits": [2] * 5 + [1] * 5}


def document(arm: str, seed: int, dice: float, lanes: int = 1) -> dict[str, Any]:
    cases = [
        {
            "case": f"c{n}",
            "patient": f"p{n}",
            "structure": "nucleus",
            "dice": dice + n / 100,
            "iou": dice,
            **ALL_TEN,
        }
        for n in range(8)
    ]
    costs = {"parameters": 2_500_000, "multiply_adds": 600_000, "voxels": 200}
    spent = {"steps": 1234, "training_s": 59.6, "predict_s": 0.0123, "peak_gb": 1.0}
    settings = {"seconds": 60.0, "lanes": lanes, "width": "narrow", "code": "abc"}
    return {
        "arm": arm,
        "seed": seed,
        "settings": settings,
        "on": "cpu",
        **costs,
        **spent,
        "cases": cases,
    }


def fill(folder: Path, *documents: dict[str, Any]) -> None:
    for number, one in enumerate(documents):
        write_json(folder / f"{number}.json", one)


def test_scores_of_instances_are_those_of_the_papers_formulas() -> None:
    """Two of two at five IoUs, one of two at five: (5 * 2/2 + 5 * 1/3) / 10."""
    case = {"dice": 0.5, "iou": 1 / 3, **ALL_TEN}

    assert score_of(case, "AP") == pytest.approx(2 / 3)
    assert score_of(case, "F1") == 1
    assert score_of(case, "IoU") == 1 / 3
    assert score_of({"dice": 0.5, "iou": 1 / 3}, "AP") is None


def test_a_patient_counts_once_whatever_it_has() -> None:
    cases = [("a", 0.2), ("a", 0.4), ("b", 0.9), ("b", None)]
    one = {"cases": [{"patient": name, "dice": dice} for name, dice in cases]}

    assert mean_of(one, "Dice") == pytest.approx((0.3 + 0.9) / 2)
    assert math.isnan(mean_of({"cases": []}, "Dice"))


def test_the_best_arm_stands_on_top(tmp_path: Path) -> None:
    fill(
        tmp_path,
        document("fcn32s", 1, 0.5),
        document("fcn8s", 2, 0.7),
        document("fcn8s", 1, 0.6),
    )
    found = read_results(tmp_path)

    assert {arm: [one["seed"] for one in each] for arm, each in found.items()} == {
        "fcn8s": [1, 2],
        "fcn32s": [1],
    }
    head, _, best, worst = build_rows(found)
    assert head.startswith("|  | seeds | Dice | IoU | F1 | AP | weights, millions |")
    assert best.startswith("| fcn8s | 2 | 0.685 ± 0.071 |")
    assert worst.endswith("| 2.5 | 3 | 1234 | 59.6 | 0.0123 | 1 |")


def test_a_row_says_that_it_took_longer(tmp_path: Path) -> None:
    """By a tenth and more of the 60 seconds that all have."""
    took = {"slow": 66.5, "in time": 65.5}
    fill(
        tmp_path,
        *(document(arm, 1, 0.5) | {"training_s": spent} for arm, spent in took.items()),
    )
    _, _, *rows = build_rows(read_results(tmp_path))

    assert sorted(row.split(" | ")[0] for row in rows) == [
        "| in time",
        "| slow (over its time)",
    ]


def test_runs_of_other_seconds_have_tables_of_their_own(tmp_path: Path) -> None:
    """They are ranked apart, and both stand in the CSV."""
    boards = []
    for number, code in enumerate(("abc", "def")):
        one = document("fcn8s", 1, 0.5 + number / 10)
        own = {"seconds": 60.0 * (number + 1), "code": code}
        one["settings"] |= {"device": "cpu", **own}
        fill(tmp_path / code, one)
        boards.append(("2d_dsb2018", read_results(tmp_path / code)))
    page, rows = build_page(boards), build_csv(boards).splitlines()

    assert [line for line in page if line.startswith("###")] == [
        "### 2d_dsb2018, 60 s, code abc",
        "### 2d_dsb2018, 120 s, code def",
    ]
    assert {tuple(row.split(",")[1:3]) for row in rows[1:]} == {
        ("60", "abc"),
        ("120", "def"),
    }


def test_only_the_pairs_of_claims_are_compared(tmp_path: Path) -> None:
    arms = {"fcn8s": 0.8, "fcn16s": 0.7, "dilated": 0.6, "segnet": 0.1}
    fill(tmp_path, *(document(arm, 1, dice) for arm, dice in arms.items()))
    lines = build_claims(BOARDS["2d_dsb2018"], read_results(tmp_path))

    (row,) = [line for line in lines if " against " in line]
    assert row.startswith("| fcn8s against fcn16s | 8 | +0.100 |")
    assert row.endswith("| fcn8s |")


def test_trials_that_were_not_run_alike_are_refused(tmp_path: Path) -> None:
    fill(tmp_path, document("fcn8s", 1, 0.5), document("fcn8s", 2, 0.5, lanes=8))

    with pytest.raises(DataError, match="trials of one kind"):
        read_results(tmp_path)


def test_numbers_have_three_digits_or_are_whole() -> None:
    values = [short(value) for value in (0.01234, 1.234, 12.34, 1234.5)]

    assert values == ["0.0123", "1.23", "12.3", "1234"]


def test_a_result_of_any_arm_is_found(tmp_path: Path) -> None:
    """Those of MONAI's networks, whose names have a slash, lay a folder deeper."""
    for board in BOARDS.values():
        for arm in board.arms:
            file = result_file(tmp_path, board.folder, arm.name, 1)
            write_json(file, document(arm.name, 1, 0.5))
        found = read_results(tmp_path / "results" / board.folder)

        assert found.keys() == {arm.name for arm in board.arms}
