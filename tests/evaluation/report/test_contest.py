"""Contest: a model is better only where the interval by patient says so."""

import re
from typing import Any

import numpy as np

from segpipe.evaluation.report.contest import (
    ABSENT,
    Contest,
    build_pairs,
    compare_models,
)


def lines(part: Any) -> dict[str, Any]:
    return {row.cells[0]: row for row in part.table.rows}


def compared(*models: float) -> Contest:
    """Models of these mean Dice on 12 patients, all alike in their ups and downs."""
    ups = np.linspace(-0.01, 0.01, 12)
    of = {
        chr(97 + n): np.clip(dice + ups * (n + 1), 0, 1)
        for n, dice in enumerate(models)
    }
    return compare_models({"liver": of}, [f"p{n}" for n in range(12)])


def test_the_crown_is_for_who_beats_every_other_beyond_chance() -> None:
    assert compared(0.7, 0.9, 0.8).best == "b"
    assert compared(0.7, 0.9, 0.9).best is None
    assert compared(0.9).best is None


def test_nobody_is_crowned_at_dice_0() -> None:
    """One invents where nothing is, the other rightly finds nothing: 0 against NaN."""
    nothing, zeros = np.full(9, np.nan), np.zeros(9)
    scores = {"liver": {"a": np.append(nothing, 0), "b": np.append(zeros, 0)}}
    contest = compare_models(scores, [f"p{n}" for n in range(10)])

    assert contest.pairs["a", "b"].low > 0
    assert contest.best is None


def test_better_is_said_only_where_the_interval_leaves_out_zero() -> None:
    rng = np.random.default_rng(0)
    good, noise = rng.uniform(0.7, 0.9, 30), rng.normal(0, 0.05, 30)
    patients = [f"p{n}" for n in range(30)]
    clear = {"liver": {"a": good, "b": good - 0.1 + noise / 5}}
    unclear = {"liver": {"a": good, "b": good + noise - noise.mean()}}
    (part,) = build_pairs(compare_models(clear, patients))
    (doubtful,) = build_pairs(compare_models(unclear, patients))

    row = lines(part)["a against b"]
    assert row.cells[1] == "30"
    assert abs(float(row.cells[2]) - 0.1) < 0.01
    assert row.cells[5] == "a"
    assert re.search(r"With 30 patients a difference of 0\.00\d would be", part.text)
    swapped = {"liver": dict(reversed(clear["liver"].items()))}
    (turned,) = build_pairs(compare_models(swapped, patients))
    assert lines(turned)["b against a"].cells[5] == "a"
    assert lines(doubtful)["a against b"].cells[5] == ABSENT


def test_comparisons_of_many_models_are_folded_with_the_real_ones_on_top() -> None:
    """Six of seven models are equal, so that only the last one differs from each."""
    dice = np.linspace(0.7, 0.9, 30)
    scores = {"liver": dict.fromkeys("abcdef", dice) | {"g": dice - 0.2}}
    patients = [str(n) for n in range(30)]
    (part,) = build_pairs(compare_models(scores, patients))
    (fewer,) = build_pairs(
        compare_models({"liver": dict(list(scores["liver"].items())[1:])}, patients)
    )

    assert part.table is not None
    assert part.table.behind == "All 21 comparisons; in 6 of them a model is better"
    assert [row.cells[5] for row in part.table.rows[:6]] == list("abcdef")
    assert fewer.table is not None
    assert (len(fewer.table.rows), fewer.table.behind) == (15, "")


def test_scans_of_one_patient_count_once() -> None:
    """Thirty scans of three patients: no verdict, and how many patients it needs."""
    dice = np.linspace(0.7, 0.9, 30)
    scores = {"liver": {"a": dice, "b": dice - 0.1, "c": dice - 0.2}}
    (part,) = build_pairs(compare_models(scores, ["x", "y", "z"] * 10))

    row = lines(part)["a against b"]
    assert row.cells[1:] == ("3", "+0.100", "too few patients", ABSENT, ABSENT)
    assert "3 comparisons need at least 7 patients; there are 3." in part.text


def test_absent_structures_and_single_models_are_no_comparison() -> None:
    nan = np.array([np.nan, 0.5, 0.6])
    dice = np.array([0.9, 0.5, 0.6])
    patients = ["p", "q", "r"]
    two = {"x": {"a": nan, "b": nan - 0.1}, "y": {"a": nan, "b": nan}}
    (part,) = build_pairs(compare_models(two, patients))

    assert lines(part)["a against b"].cells[1:3] == ("2", "+0.050")
    assert build_pairs(compare_models({"x": {"a": dice}}, patients)) == []
