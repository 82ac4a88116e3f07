"""Tables: the right figure in the right place, and the right one marked."""

from typing import Any

import numpy as np

from segpipe.dataset.case import CaseList
from segpipe.evaluation.ceiling import Ceiling
from segpipe.evaluation.observers import Agreement
from segpipe.evaluation.report.contest import ABSENT
from segpipe.evaluation.report.tables import (
    Evaluated,
    build_cards,
    build_comparison,
    build_folds,
    build_groups,
    build_worst,
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


CEILING = Ceiling(
    model="", dice=(1.0, 0.96, 0.95), structures={}, instance_f1=0.7, merges=1
)


def evaluated(dice: float | None, *, failed: int = 0, sites: Any = None) -> Evaluated:
    return Evaluated(make_figures(dice, failed=failed, sites=sites), {}, {}, {})


def lines(part: Any) -> dict[str, Any]:
    return {row.cells[0]: row for row in part.table.rows}


def test_only_the_tested_figure_of_the_best_model_is_marked() -> None:
    two = {"a": evaluated(0.9), "b": evaluated(0.8)}
    rows = lines(build_comparison(two, dict.fromkeys("ab", CEILING), CASES, "a"))

    assert rows["Dice"].cells == ("Dice", "0.900", "0.800")
    assert rows["Dice"].best == (1,)
    assert rows["Dice, ceiling"].cells[1:] == ("0.950", "0.950")
    assert rows["HD95 (mm)"].cells[1:] == ("1.10", "1.20")
    assert [row.cells[0] for row in rows.values() if row.best] == ["Dice"]
    part = build_comparison(two, dict.fromkeys("ab", CEILING), CASES, None)
    assert not any(row.best for row in lines(part).values())
    assert "No model is better than every other one beyond chance." in part.text


def test_what_another_person_reaches_stands_beside_every_dice() -> None:
    two = CASES.model_copy(update={"labels": {"background": 0, "liver": 1, "cyst": 2}})
    figures = evaluated(0.9)
    figures.figures.structures["cyst"] = figures.figures.structures["liver"]
    other = Agreement("2ndHO", 3, 0.8, {"liver": 0.9, "cyst": 0.7})
    part = build_comparison({"a": figures}, {"a": CEILING}, two, None, [other])
    rows = lines(part)

    assert rows["Dice, observer 2ndHO"].cells[1:] == ("0.800",)
    assert rows["Dice, liver, observer 2ndHO"].cells[1:] == ("0.900",)
    assert rows["Dice, cyst, observer 2ndHO"].cells[1:] == ("0.700",)
    assert sum("2ndHO" in name for name in rows) == 3
    assert "on 3 test cases, the bar to reach" in part.text


def test_a_missing_figure_is_a_dash() -> None:
    rows = lines(build_comparison({"a": evaluated(0.9)}, {"a": CEILING}, CASES, None))

    assert rows["Surface Dice"].cells[1:] == (ABSENT,)


def test_merges_stand_beside_what_was_found_and_splits_beside_what_was_drawn() -> None:
    instances = {"f1": 0.5, "f1_mean": 0.5, "ap": 0.5, "merges": 3, "splits": 2}
    instances |= {"n_reference": 40, "n_predicted": 9}
    one = Evaluated(make_figures(instances=instances), {}, {}, {})
    rows = lines(build_comparison({"a": one}, {"a": CEILING}, CASES, None))

    assert rows["Instance F1, ceiling"].cells[1] == "0.700"
    assert rows["Merged instances"].cells[1] == "3 of 9 found"
    assert rows["Split instances"].cells[1] == "2 of 40 drawn"


def test_the_card_of_the_best_model_is_marked() -> None:
    cards = build_cards({"a": evaluated(None, failed=4), "b": evaluated(0.8)}, "b")
    assert [card.best for card in cards] == [False, True]
    assert "4 of 8 failed" in cards[0].note
    assert not any(card.best for card in build_cards({"a": evaluated(0.9)}, None))


def test_groups_are_shown_only_where_there_are_some() -> None:
    sites = {"north": {"n": 2, "dice_mean": 0.7}}

    (part,) = build_groups({"a": evaluated(0.9, sites=sites)})

    assert lines(part)["north (n = 2)"].cells[1] == "0.700"
    assert build_groups({"a": evaluated(0.9)}) == []


def test_cross_validation_is_the_mean_and_deviation_over_folds() -> None:
    found = {
        "a": [{"Dice": 0.8, "IoU": 0.5}, {"Dice": 0.9, "IoU": 0.5}],
        "b": [{"Dice": 0.7, "IoU": 0.5}, {"Dice": 0.7, "IoU": float("nan")}],
    }

    (part,) = build_folds(found)

    rows = lines(part)
    assert rows["Dice"].cells == ("Dice", "0.850 ± 0.071", "0.700 ± 0.000")
    assert not any(row.best for row in rows.values())
    assert rows["IoU"].cells[2] == f"{ABSENT} ± {ABSENT}"
    assert build_folds({"a": found["a"][:1]}) == []


def test_a_figure_that_only_one_model_has_is_absent_from_the_other() -> None:
    """Instances judge one of two models; it stands in the table all the same."""
    one = [{"Dice": 0.5}, {"Dice": 0.7}]
    other = [{**fold, "AP of instances": 0.4} for fold in one]

    (part,) = build_folds({"a": one, "b": other})

    assert part.table is not None
    (row,) = [row for row in part.table.rows if row.cells[0] == "AP of instances"]
    assert row.cells[1].startswith(ABSENT)
    assert row.cells[2] == "0.400 ± 0.000"


def test_the_worst_cases_are_listed_structure_by_structure() -> None:
    """A case can be the best in one structure and the worst in another."""
    dice = {
        "c1": {"liver": (0.9, 0.8), "spleen": (0.1, 0.0)},
        "c2": {"liver": (0.2, 0.4), "spleen": (0.9, 0.9)},
        "c3": {"liver": (np.nan, np.nan), "spleen": (0.5, 0.5)},
    }
    two = CASES.model_copy(
        update={"labels": {"background": 0, "liver": 1, "spleen": 2}}
    )
    models = {
        model: Evaluated(
            make_figures(0.5),
            {
                (case, name): {"dice": of[n], "hd95_mm": 3.0, "failed": of[n] == 0}
                for case, found in dice.items()
                for name, of in found.items()
            },
            {},
            {},
        )
        for n, model in enumerate("ab")
    }
    names = {"c1": "case 2", "c2": "case 3", "c3": "case 1"}

    part = build_worst(models, ["c1", "c2", "c3"], names, two)

    assert part.table
    assert [row.cells[0] for row in part.table.rows] == [
        *("liver", "case 3", "case 2"),
        *("spleen", "case 2", "case 1", "case 3"),
    ]
    assert part.table.rows[4].cells == ("case 2", "0.100", "0.000", "3.0", "3.0")
    assert part.table.rows[4].failed == (2, 4)


def test_many_structures_have_fewer_cases_each() -> None:
    labels = {"background": 0, **{f"s{n}": n for n in range(1, 41)}}
    many = CASES.model_copy(update={"labels": labels})
    cases = [f"c{n}" for n in range(20)]
    row = {"dice": 0.5, "hd95_mm": 1.0, "failed": False}
    rows = {(case, name): row for case in cases for name in [*labels, "liver"]}
    one = {"a": Evaluated(make_figures(0.5), rows, {}, {})}

    few = build_worst(one, cases, {case: case for case in cases}, CASES)
    part = build_worst(one, cases, {case: case for case in cases}, many)

    assert few.table
    assert part.table
    assert len(few.table.rows) == 1 + 8
    assert len(part.table.rows) == 40 * (1 + 3)
