"""Tables: the right figure in the right place, and the right one marked."""

from typing import Any

from segpipe.case import CaseList
from segpipe.tables import (
    ABSENT,
    Evaluated,
    build_cards,
    build_comparison,
    build_groups,
)

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
    test = {
        "n": 4,
        "n_failed": failed,
        "dice_mean": dice,
        "iou_mean": 0.5,
        "precision_mean": 0.5,
        "recall_mean": 0.5,
        "hd95_mm_mean": 2.0 - (dice or 0),
        "surface_dice_mean": None,
        "volume_error_absolute_mean": 0.1,
        "dice_worst": 0.2,
    }
    dataset = dict.fromkeys(
        ("pixel_accuracy", "mean_pixel_accuracy", "mean_iou", "frequency_weighted_iou"),
        0.9,
    )
    metrics = {
        "test": test,
        "structures": {"liver": test},
        "dataset": dataset,
        "instances": None,
        "groups": {"site": sites or {}},
    }
    return Evaluated(metrics, {}, {})


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
    assert "4 of 4 failed" in cards[0].note


def test_groups_are_shown_only_where_there_are_some() -> None:
    sites = {"north": {"n": 2, "dice_mean": 0.7}}

    (part,) = build_groups({"a": evaluated(0.9, sites=sites)})

    assert lines(part)["north (n = 2)"].cells[1] == "0.700"
    assert build_groups({"a": evaluated(0.9)}) == []
