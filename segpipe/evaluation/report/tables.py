"""Tables: the figures of all models side by side, for the report."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from segpipe.dataset.case import CaseList
from segpipe.evaluation.ceiling import Ceiling
from segpipe.evaluation.figures import ROWS, Figures, Rows
from segpipe.evaluation.observers import Agreement
from segpipe.evaluation.report.contest import in_digits
from segpipe.evaluation.report.page import Card, Part, Row, Table
from segpipe.evaluation.scores import mean_known

WORST_SHOWN, FEWEST_SHOWN = 8, 3  # cases of a structure


@dataclass(frozen=True, eq=False)
class Evaluated:
    """The results of one model.

    Attributes:
        figures: Means and sums over the test cases.
        rows: Figures of each case and structure.
        params: The section train.MODEL of its training.
        compute: Device and precision of its training.
        seconds: CPU seconds a test case, of a baseline.
    """

    figures: Figures
    rows: Rows
    params: dict[str, Any]
    compute: dict[str, Any]
    seconds: float | None = None


def build_cards(evaluated: dict[str, Evaluated], best: str | None) -> list[Card]:
    """Build a card with the mean test Dice of each model and mark the best, if any."""
    return [
        Card(
            model,
            in_digits(e.figures.test["dice_mean"], 3),
            f"mean test Dice · {e.figures.test['n_failed']} of "
            f"{e.figures.test['n']} failed",
            best=model == best,
        )
        for model, e in evaluated.items()
    ]


# Name, place in the figures, and digits.
Line = tuple[str, tuple[str, ...], int]
TESTED = ("test", "dice_mean")
LATER = {"pq", "pq_mean", "sq", "rq"}
CEILINGS: dict[tuple[str, ...], Callable[[Ceiling], float]] = {
    TESTED: lambda ceiling: ceiling.dice[-1],
    ("instances", "f1"): lambda ceiling: ceiling.instance_f1,
}
AMONG = {
    ("instances", "merges"): (("instances", "n_predicted"), "found"),
    ("instances", "splits"): (("instances", "n_reference"), "drawn"),
}


def _lines(cases: CaseList, with_instances: bool) -> dict[str, list[Line]]:
    unit = cases.unit
    structures: list[Line] = [
        (f"Dice, {name}", ("structures", name, "dice_mean"), 3)
        for name in cases.structures[1:]
    ]
    of_cases: list[Line] = [
        ("Dice", TESTED, 3),
        *(structures if len(structures) > 1 else []),
        ("IoU", ("test", "iou_mean"), 3),
        ("Precision", ("test", "precision_mean"), 3),
        ("Recall", ("test", "recall_mean"), 3),
        (f"HD95 ({unit})", ("test", f"hd95_{unit}_mean"), 2),
        ("Surface Dice", ("test", "surface_dice_mean"), 3),
        ("Volume error, absolute", ("test", "volume_error_absolute_mean"), 3),
        ("Worst Dice", ("test", "dice_worst"), 3),
        ("Failed", ("test", "n_failed"), 0),
    ]
    of_voxels: list[Line] = [
        ("Pixel accuracy (PA)", ("dataset", "pixel_accuracy"), 4),
        ("Mean pixel accuracy (MPA)", ("dataset", "mean_pixel_accuracy"), 3),
        ("Mean IoU (mIoU)", ("dataset", "mean_iou"), 3),
        ("Frequency-weighted IoU", ("dataset", "frequency_weighted_iou"), 3),
    ]
    instances: list[Line] = [
        ("Instance F1", ("instances", "f1"), 3),
        ("Instance F1, mean of the cases", ("instances", "f1_mean"), 3),
        ("Instance AP, IoU .5 to .95", ("instances", "ap"), 3),
        ("Panoptic quality (PQ)", ("instances", "pq"), 3),
        ("PQ, mean of the cases", ("instances", "pq_mean"), 3),
        ("Segmentation quality (SQ)", ("instances", "sq"), 3),
        ("Recognition quality (RQ)", ("instances", "rq"), 3),
        ("Merged instances", ("instances", "merges"), 0),
        ("Split instances", ("instances", "splits"), 0),
        ("Instances drawn", ("instances", "n_reference"), 0),
        ("Instances found", ("instances", "n_predicted"), 0),
    ]
    groups = {
        "Mean over test cases and structures": of_cases,
        "All test voxels together, background included": of_voxels,
    }
    if with_instances:
        groups["Instances of all test cases"] = instances
    return groups


def build_comparison(
    evaluated: dict[str, Evaluated],
    ceilings: dict[str, Ceiling],
    cases: CaseList,
    best: str | None,
    agreements: Sequence[Agreement] = (),
    baselines: Mapping[str, Evaluated] = MappingProxyType({}),
) -> Part:
    """Build a table of all figures of all models and mark the Dice of the best.

    Beside mean Dice and instance F1 stands what a perfect network would get, and beside
    Dice what another person gets against the reference. Methods without training have
    their columns after those of the models.
    """
    columns = {**evaluated, **baselines}
    with_instances = all(e.figures.instances for e in columns.values())
    marked = tuple(n for n, model in enumerate(evaluated, 1) if model == best)
    rows: list[Row] = []
    for heading, lines in _lines(cases, with_instances).items():
        rows.append(Row((heading,)))
        for name, keys, digits in lines:
            cells = [_cell(e.figures, keys, digits) for e in columns.values()]
            rows.append(Row((name, *cells), marked if keys == TESTED else ()))
            if keys in CEILINGS:
                highest = [
                    CEILINGS[keys](ceilings[name]) if name in ceilings else math.nan
                    for name in columns
                ]
                texts = [in_digits(value, digits) for value in highest]
                rows.append(Row((f"{name}, ceiling", *texts)))
            for other in agreements:
                reached = _reached(other, keys)
                if reached is not None:
                    cells = [in_digits(reached, digits)] * len(columns)
                    rows.append(Row((f"{name}, observer {other.observer}", *cells)))
    if baselines:
        seconds = [in_digits(e.seconds, 3) for e in columns.values()]
        rows += [Row(("Cost",)), Row(("CPU seconds a case", *seconds))]
    text = "Only the mean Dice is tested by patient; the other figures describe. "
    if best is not None:
        text += "Bold: better than every other model beyond chance."
    elif len(evaluated) > 1:
        text += "No model is better than every other one beyond chance."
    text += " Ceiling: what a network without any error would get."
    if baselines:
        text += f" Not trained, so without a ceiling: {', '.join(baselines)}."
    for other in agreements:
        text += (
            f" Observer {other.observer}: what this person's labels get against the "
            f"reference on {other.cases} test cases, the bar to reach."
        )
    return Part("Models side by side", text, Table(("", *columns), tuple(rows)))


def _reached(agreement: Agreement, keys: tuple[str, ...]) -> float | None:
    """The Dice of another person for a row of the table; None for other figures."""
    if keys == TESTED:
        return agreement.dice
    of_structure = keys[0] == "structures" and keys[2] == "dice_mean"
    return agreement.structures[keys[1]] if of_structure else None


def _cell(figures: Figures, keys: tuple[str, ...], digits: int) -> str:
    """Text of a figure; merges and splits stand beside the number they are among."""
    text = in_digits(_find(figures, keys), digits)
    if keys not in AMONG:
        return text
    whole, what = AMONG[keys]
    return f"{text} of {in_digits(_find(figures, whole), 0)} {what}"


def _find(figures: Figures, keys: tuple[str, ...]) -> float | None:
    found = getattr(figures, keys[0])
    for key in keys[1:]:
        # Figures from before there was panoptic quality have none.
        found = found.get(key) if key in LATER else found[key]
    return None if found is None else float(found)


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
            figures = [in_digits(summary["dice_mean"], 3) for summary in summaries]
            rows.append(Row((name, *figures)))
    if not rows:
        return []
    table = Table(("Mean Dice", *evaluated), tuple(rows))
    return [Part("By group", "n counts cases and structures.", table)]


def build_folds(best: dict[str, list[dict[str, float]]]) -> list[Part]:
    """Build a table of cross-validated figures; empty for one fold.

    Args:
        best: Model to the validation figures of the kept epoch of each fold.
    """
    folds = len(next(iter(best.values())))
    if folds < 2:
        return []
    names = dict.fromkeys(name for found in best.values() for name in found[0])
    rows = []
    for name in names:  # a figure that a model lacks, such as AP of instances, is NaN
        values = [
            np.array([fold.get(name, math.nan) for fold in found])
            for found in best.values()
        ]
        means = [float(of_folds.mean()) for of_folds in values]
        texts = [
            f"{in_digits(mean, 3)} ± {in_digits(float(of_folds.std(ddof=1)), 3)}"
            for mean, of_folds in zip(means, values, strict=True)
        ]
        rows.append(Row((name, *texts)))
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
    tested: list[str],
    names: dict[str, str],
    cases: CaseList,
) -> Part:
    """Build a table of the cases with the lowest mean Dice, structure by structure.

    Args:
        evaluated: Results of each model, by its name.
        tested: Names of the test cases.
        names: Case to pseudonym.
        cases: The data set.
    """
    structures = cases.structures[1:]
    shown = min(WORST_SHOWN, max(FEWEST_SHOWN, 3 * WORST_SHOWN // len(structures)))
    rows = []
    for structure in structures:
        means = {
            case: mean_known(
                [e.rows[case, structure]["dice"] for e in evaluated.values()]
            )
            for case in tested
        }
        known = [case for case in tested if not math.isnan(means[case])]
        if known:
            rows.append(Row((structure,)))
        for case in sorted(known, key=lambda case: (means[case], names[case]))[:shown]:
            found = [e.rows[case, structure] for e in evaluated.values()]
            cells = [
                in_digits(row[name], digits)
                for name, digits in (("dice", 3), (f"hd95_{cases.unit}", 1))
                for row in found
            ]
            failed = [place for place, row in enumerate(found) if row["failed"]]
            both = (*failed, *(place + len(found) for place in failed))
            rows.append(
                Row((names[case], *cells), failed=tuple(place + 1 for place in both))
            )
    columns = [
        f"{figure} {model}" for figure in ("Dice", "HD95") for model in evaluated
    ]
    return Part(
        "Worst cases first",
        f"Look at these before you trust the means. Failures are red and marked with "
        f"\N{MULTIPLICATION SIGN}; HD95 in {cases.unit}. All cases by name: "
        f"artifacts/evaluate/MODEL/{ROWS}.",
        Table(("", *columns), tuple(rows)),
    )
