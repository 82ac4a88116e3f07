"""Tables: the figures of all models side by side, for the report."""

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from segpipe.dataset.case import CaseList
from segpipe.evaluation.figures import ROWS, Figures, Rows
from segpipe.evaluation.page import Card, Part, Row, Table
from segpipe.evaluation.scores import mean_interval

WORST_SHOWN = 8
ABSENT = "\N{EN DASH}"


@dataclass(frozen=True, eq=False)
class Evaluated:
    """The results of one model.

    Attributes:
        figures: Means and sums over the test cases.
        rows: Figures of each case and structure.
        params: The section train.MODEL of its training.
        compute: Device and precision of its training.
    """

    figures: Figures
    rows: Rows
    params: dict[str, Any]
    compute: dict[str, Any]


def build_cards(evaluated: dict[str, Evaluated]) -> list[Card]:
    """Build a card with the mean test Dice of each model and mark the best."""
    dice = {m: e.figures.test["dice_mean"] for m, e in evaluated.items()}
    best = max(dice, key=lambda model: dice[model] or 0)
    return [
        Card(
            model,
            _text(dice[model], 3),
            f"mean test Dice · {e.figures.test['n_failed']} of "
            f"{e.figures.test['n']} failed",
            best=model == best and len(dice) > 1,
        )
        for model, e in evaluated.items()
    ]


# Name, place in the figures, digits, and 1 if higher is better, -1 if lower is.
Line = tuple[str, tuple[str, ...], int, int]


def _lines(cases: CaseList, with_instances: bool) -> dict[str, list[Line]]:
    unit = cases.unit
    structures: list[Line] = [
        (f"Dice, {name}", ("structures", name, "dice_mean"), 3, 1)
        for name in cases.structures[1:]
    ]
    of_cases: list[Line] = [
        ("Dice", ("test", "dice_mean"), 3, 1),
        *(structures if len(structures) > 1 else []),
        ("IoU", ("test", "iou_mean"), 3, 1),
        ("Precision", ("test", "precision_mean"), 3, 1),
        ("Recall", ("test", "recall_mean"), 3, 1),
        (f"HD95 ({unit})", ("test", f"hd95_{unit}_mean"), 2, -1),
        ("Surface Dice", ("test", "surface_dice_mean"), 3, 1),
        ("Volume error, absolute", ("test", "volume_error_absolute_mean"), 3, -1),
        ("Worst Dice", ("test", "dice_worst"), 3, 1),
        ("Failed", ("test", "n_failed"), 0, -1),
    ]
    of_voxels: list[Line] = [
        ("Pixel accuracy (PA)", ("dataset", "pixel_accuracy"), 4, 1),
        ("Mean pixel accuracy (MPA)", ("dataset", "mean_pixel_accuracy"), 3, 1),
        ("Mean IoU (mIoU)", ("dataset", "mean_iou"), 3, 1),
        ("Frequency-weighted IoU", ("dataset", "frequency_weighted_iou"), 3, 1),
    ]
    instances: list[Line] = [
        ("Instance F1", ("instances", "f1"), 3, 1),
        ("Instance F1, mean of the cases", ("instances", "f1_mean"), 3, 1),
        ("Merged instances", ("instances", "merges"), 0, -1),
        ("Split instances", ("instances", "splits"), 0, -1),
        ("Instances drawn", ("instances", "n_reference"), 0, 0),
        ("Instances found", ("instances", "n_predicted"), 0, 0),
    ]
    groups = {
        "Mean over test cases and structures": of_cases,
        "All test voxels together, background included": of_voxels,
    }
    if with_instances:
        groups["Instances of all test cases"] = instances
    return groups


def build_comparison(evaluated: dict[str, Evaluated], cases: CaseList) -> Part:
    """Build a table of all figures of all models and mark the best of each row."""
    with_instances = all(e.figures.instances for e in evaluated.values())
    rows: list[Row] = []
    for heading, lines in _lines(cases, with_instances).items():
        rows.append(Row((heading,)))
        for name, keys, digits, better in lines:
            values = [_find(e.figures, keys) for e in evaluated.values()]
            rows.append(_row(name, values, digits=digits, better=better))
    return Part(
        "Models side by side",
        "The best figure of a row is bold, where there is a difference.",
        Table(("", *evaluated), tuple(rows)),
    )


def _find(figures: Figures, keys: tuple[str, ...]) -> float | None:
    found = getattr(figures, keys[0])
    for key in keys[1:]:
        found = found[key]
    return None if found is None else float(found)


def _row(name: str, values: list[float | None], *, digits: int, better: int) -> Row:
    """Build a row and mark its best cells."""
    texts = [_text(value, digits) for value in values]
    known = [value for value in values if value is not None]
    best: tuple[int, ...] = ()
    if better and known and len(set(texts)) > 1:
        top = _text(max(known) if better > 0 else min(known), digits)
        best = tuple(place for place, text in enumerate(texts, start=1) if text == top)
    return Row((name, *texts), best)


def _text(value: float | None, digits: int) -> str:
    return ABSENT if value is None or math.isnan(value) else f"{value:.{digits}f}"


def build_groups(evaluated: dict[str, Evaluated]) -> list[Part]:
    """Build a table of mean Dice by group, such as site; empty without groups."""
    first = next(iter(evaluated.values())).figures.groups
    rows: list[Row] = []
    for column, groups in first.items():
        if groups:
            rows.append(Row((column,)))
        for value in groups:
            summaries = [e.figures.groups[column][value] for e in evaluated.values()]
            name = f"{value} (n = {summaries[0]['n']})"
            figures = [summary["dice_mean"] for summary in summaries]
            rows.append(_row(name, figures, digits=3, better=1))
    if not rows:
        return []
    table = Table(("Mean Dice", *evaluated), tuple(rows))
    return [Part("By group", "n counts cases and structures.", table)]


def build_pairs(scores: dict[str, dict[str, np.ndarray]]) -> list[Part]:
    """Compare each two models on the same cases; empty for one model or one case.

    Args:
        scores: Structure to model to the Dice of each test case; NaN where absent.
    """
    models = list(next(iter(scores.values())))
    rows = []
    for one, other in itertools.combinations(models, 2):
        differences = np.array([of[one] - of[other] for of in scores.values()])
        known = ~np.isnan(differences).all(axis=0)
        of_cases = np.nanmean(differences[:, known], axis=0)
        if len(of_cases) < 2:
            return []
        low, high = mean_interval(of_cases)
        better = one if low > 0 else other if high < 0 else ABSENT
        rows.append(
            Row(
                (
                    f"{one} against {other}",
                    f"{of_cases.mean():+.3f}",
                    f"{low:+.3f} to {high:+.3f}",
                    better,
                ),
                best=(3,) if better != ABSENT else (),
            )
        )
    if not rows:
        return []
    columns = ("", "Difference of Dice", "95 % interval", "Better")
    return [
        Part(
            "Is the difference real?",
            "Mean difference of Dice over the same test cases, with its bootstrap "
            "interval. A model is called better only if the interval excludes 0; that "
            "says nothing about other seeds or other data.",
            Table(columns, tuple(rows)),
        )
    ]


def build_folds(best: dict[str, list[dict[str, float]]]) -> list[Part]:
    """Build a table of cross-validated figures; empty for one fold.

    Args:
        best: Model to the validation figures of the best epoch of each fold.
    """
    folds = len(next(iter(best.values())))
    if folds < 2:
        return []
    names = list(next(iter(best.values()))[0])
    rows = []
    for name in names:
        values = [np.array([fold[name] for fold in found]) for found in best.values()]
        means = [float(of_folds.mean()) for of_folds in values]
        texts = [
            f"{_text(mean, 3)} ± {_text(float(of_folds.std(ddof=1)), 3)}"
            for mean, of_folds in zip(means, values, strict=True)
        ]
        known = [mean for mean in means if not math.isnan(mean)]
        winners = tuple(n for n, mean in enumerate(means, 1) if mean == max(known))
        marked = winners if len(means) > len(winners) > 0 else ()
        rows.append(Row((name, *texts), best=marked if known else ()))
    return [
        Part(
            "Cross-validation",
            f"Mean ± standard deviation over {folds} folds, on cases that the "
            "fold was not trained on, on the prepared grid. The same cases chose the "
            "epoch, so the test figures above are the unbiased ones.",
            Table(("", *best), tuple(rows)),
        )
    ]


def build_worst(
    evaluated: dict[str, Evaluated],
    ranked: list[str],
    names: dict[str, str],
    cases: CaseList,
) -> Part:
    """Build a table of the cases with the lowest mean Dice.

    Args:
        evaluated: Results of each model, by its name.
        ranked: Names of the test cases, the worst first.
        names: Case to pseudonym.
        cases: The data set.
    """
    rows = []
    for case in ranked[:WORST_SHOWN]:
        for structure in cases.structures[1:]:
            found = [e.rows[case, structure] for e in evaluated.values()]
            cells = [
                _text(row[name], digits)
                for name, digits in (("dice", 3), (f"hd95_{cases.unit}", 1))
                for row in found
            ]
            failed = [place for place, row in enumerate(found) if row["failed"]]
            both = (*failed, *(place + len(found) for place in failed))
            rows.append(
                Row(
                    (f"{names[case]}, {structure}", *cells),
                    failed=tuple(place + 1 for place in both),
                )
            )
    columns = [
        f"{figure} {model}" for figure in ("Dice", "HD95") for model in evaluated
    ]
    return Part(
        "Worst cases first",
        f"Look at these before you trust the means. Failures are red; HD95 in "
        f"{cases.unit}. All cases by name: artifacts/evaluate/MODEL/{ROWS}.",
        Table(("", *columns), tuple(rows)),
    )
