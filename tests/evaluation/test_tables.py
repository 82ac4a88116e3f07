"""Tables: the right figure in the right place, and the right one marked."""

from typing import Any

import numpy as np

from segpipe.dataset.case import CaseList
from segpipe.evaluation.tables import (
    ABSENT,
    Evaluated,
    build_cards,
    build_comparison,
    build_folds,
    build_groups,
    build_pairs,
)
from tests.support.evaluations import make_figures

CASES = CaseList(
    format_version=1,
    dimensions=3,
    unit="mm",
    spacing_mm=None,
    file_ending=".nii",
    channels=("ct",),
    labels={"background": 0, "liver": 1},
    ignore=None,
    cases=(),
)


def evaluated(dice: float | None, *, failed: int = 0, sites: Any = None) -> Evaluated:
    return Evaluated(make_figures(dice, failed=failed, sites=sites), {}, {}, {})


def lines(part: Any) -> dict[str, Any]:
    return {row.cells[0]: row for row in part.table.rows}


def test_more_dice_wins_and_less_distance_wins() -> None:
    rows = lines(build_comparison({"a": evaluated(0.9), "b": evaluated(0.8)}, CASES))

    assert rows["Dice"].cells == ("Dice", "0.900", "0.800")
    assert rows["Dice"].best == (1,)
    assert rows["HD95 (mm)"].cells[1:] == ("1.10", "1.20")
    assert rows["HD95 (mm)"].best == (1,)


def test_nobody_wins_a_draw_and_a_missing_figure_is_a_dash() -> None:
    rows = lines(build_comparison({"a": evaluated(0.9), "b": evaluated(0.8)}, CASES))

    assert rows["IoU"].best == ()
    assert rows["Surface Dice"].cells[1:] == (ABSENT, ABSENT)


def test_the_best_card_is_marked_and_failures_stand_on_it() -> None:
    cards = build_cards({"a": evaluated(None, failed=4), "b": evaluated(0.8)})

    assert [card.best for card in cards] == [False, True]
    assert "4 of 8 failed" in cards[0].note


def test_groups_are_shown_only_where_there_are_some() -> None:
    sites = {"north": {"n": 2, "dice_mean": 0.7}}

    (part,) = build_groups({"a": evaluated(0.9, sites=sites)})

    assert lines(part)["north (n = 2)"].cells[1] == "0.700"
    assert build_groups({"a": evaluated(0.9)}) == []


def test_better_is_said_only_where_the_interval_leaves_out_zero() -> None:
    rng = np.random.default_rng(0)
    good, noise = rng.uniform(0.7, 0.9, 30), rng.normal(0, 0.05, 30)
    clear = {"liver": {"a": good, "b": good - 0.1 + noise / 5}}
    unclear = {"liver": {"a": good, "b": good + noise - noise.mean()}}
    (part,) = build_pairs(clear)
    (doubtful,) = build_pairs(unclear)

    row = lines(part)["a against b"]
    assert abs(float(row.cells[1]) - 0.1) < 0.01
    assert row.cells[3] == "a"
    swapped = {"liver": dict(reversed(clear["liver"].items()))}
    assert lines(build_pairs(swapped)[0])["b against a"].cells[3] == "a"
    assert lines(doubtful)["a against b"].cells[3] == ABSENT


def test_absent_structures_and_single_models_are_no_comparison() -> None:
    nan = np.array([np.nan, 0.5, 0.6])
    dice = np.array([0.9, 0.5, 0.6])
    (part,) = build_pairs({"x": {"a": nan, "b": nan - 0.1}, "y": {"a": nan, "b": nan}})

    assert lines(part)["a against b"].cells[1] == "+0.050"
    assert build_pairs({"x": {"a": dice}}) == []
    assert build_pairs({"x": {"a": dice[:1], "b": dice[:1]}}) == []


def test_cross_validation_is_the_mean_and_deviation_over_folds() -> None:
    found = {
        "a": [{"Dice": 0.8, "IoU": 0.5}, {"Dice": 0.9, "IoU": 0.5}],
        "b": [{"Dice": 0.7, "IoU": 0.5}, {"Dice": 0.7, "IoU": float("nan")}],
    }

    (part,) = build_folds(found)

    rows = lines(part)
    assert rows["Dice"].cells == ("Dice", "0.850 ± 0.071", "0.700 ± 0.000")
    assert rows["Dice"].best == (1,)
    assert rows["IoU"].cells[2] == f"{ABSENT} ± {ABSENT}"
    assert build_folds({"a": found["a"][:1]}) == []
