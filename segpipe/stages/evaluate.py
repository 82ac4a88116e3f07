"""evaluate: predictions against references, by case and structure; worst first."""

import csv
import io
import logging
import math
import shutil
from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from segpipe import metrics
from segpipe.case import Case, CaseList, read_cases
from segpipe.documents import write_json, write_text
from segpipe.errors import DataError
from segpipe.instances import InstanceMatch, components, match_instances
from segpipe.io.formats import read_case_instances, read_case_label, read_label
from segpipe.parallel import map_cases
from segpipe.params import Params
from segpipe.paths import Paths
from segpipe.plan import read_split

log = logging.getLogger(__name__)
Row = dict[str, Any]
POLICY = (
    "All figures are taken on the original grid, without voxels that nobody annotated. "
    "A structure absent from reference and prediction does not count (empty). One that "
    "is missed altogether, or predicted where there is none, or whose prediction is "
    "missing, counts as failed: Dice, IoU and surface Dice 0, and for distances the "
    "diagonal of the image. So a failure never improves a mean."
)
SAME_GRID = 0.01  # of the unit: predictions lie on the grid of the reference


class EvaluateParams(Params):
    """Section evaluate of params.yaml.

    Attributes:
        surface_tolerance: For surface Dice, in the data set's unit.
        instance_iou: IoU above which two instances match, at least 0.5.
        group_by: Columns of patients.csv by which to give means too.
        workers: Processes; each holds one case.
    """

    surface_tolerance: float
    instance_iou: float
    group_by: tuple[str, ...]
    workers: int


@dataclass(frozen=True, eq=False)
class _Result:
    """What one case yields."""

    rows: list[Row]
    confusion: np.ndarray
    instances: dict[str, InstanceMatch]  # by structure


def run(params: EvaluateParams, *, model: str, paths: Paths) -> None:
    """Write artifacts/evaluate/MODEL: metrics.json, cases.csv, confusion.csv."""
    cases = read_cases(paths.artifacts)
    chosen = [cases[name] for name in read_split(paths.artifacts).test]
    results = map_cases(
        partial(
            _evaluate, params, cases.model_copy(update={"cases": ()}), model, paths
        ),
        chosen,
        workers=params.workers,
        name=lambda case: case.name,
        describe=f"evaluate {model}",
    )
    rows = [row for result in results for row in result.rows]
    confusion = np.sum([result.confusion for result in results], axis=0)
    goal = paths.artifacts / "evaluate" / model
    shutil.rmtree(goal, ignore_errors=True)
    test = _summary(rows, cases.unit)
    document = {
        "format_version": 1,
        "model": model,
        "policy": POLICY,
        "unit": cases.unit,
        "cases": len(chosen),
        "test": test,
        "structures": {
            name: _summary(
                [row for row in rows if row["structure"] == name], cases.unit
            )
            for name in cases.structures[1:]
        },
        "dataset": _dataset(confusion, cases.structures),
        "instances": _instances([result.instances for result in results]),
        "groups": _groups(params, chosen, rows, cases.unit),
    }
    write_json(goal / "metrics.json", _without_nan(document))
    write_text(goal / "cases.csv", _csv(_worst_first(rows)))
    names = cases.structures
    write_text(
        goal / "confusion.csv",
        _csv(
            [
                {"reference": name, **dict(zip(names, line.tolist(), strict=True))}
                for name, line in zip(names, confusion, strict=True)
            ]
        ),
    )
    log.info(
        "evaluate %s: Dice %.4f over %d cases, %d failed",
        model,
        test["dice_mean"],
        len(chosen),
        test["n_failed"],
    )


def _evaluate(
    params: EvaluateParams, cases: CaseList, model: str, paths: Paths, case: Case
) -> _Result:
    """Compare one case; a missing prediction is an empty one that failed."""
    label = read_case_label(paths.data, cases, case)
    file = paths.artifacts / "predict" / model / f"{case.name}{cases.file_ending}"
    missing = not file.is_file()
    if missing:
        log.warning("%s: no prediction of %s: counted as failed", case.name, model)
        predicted = np.zeros_like(label.array)
    else:
        other = read_label(file, spacing_mm=cases.spacing_mm)
        if not label.grid.matches(other.grid, tolerance=SAME_GRID):
            raise DataError(
                f"{file}: expected the grid of {case.label}, found another "
                f"({other.grid.shape} against {label.grid.shape}); run predict again"
            )
        predicted = other.array
    known = np.ones(label.array.shape, dtype=bool)
    if cases.ignore is not None:
        known = label.array != cases.ignore
    spacing, voxel = label.grid.spacing, label.grid.voxel_volume
    rows: list[Row] = []
    for structure, value in list(zip(cases.structures, cases.values, strict=True))[1:]:
        figures = _compare(
            (label.array == value) & known,
            (predicted == value) & known,
            spacing=spacing,
            voxel_volume=voxel,
            params=params,
            unit=cases.unit,
        )
        rows.append({"case": case.name, "structure": structure, **figures})
    confusion = metrics.confusion_matrix(
        _indices(label.array, cases, known),
        _indices(predicted, cases, known),
        n_classes=len(cases.values),
        ignore=-1,
    )
    return _Result(
        rows, confusion, _match(params, cases, paths, case, label.array, predicted)
    )


def _match(
    params: EvaluateParams,
    cases: CaseList,
    paths: Paths,
    case: Case,
    label: np.ndarray,
    predicted: np.ndarray,
) -> dict[str, InstanceMatch]:
    """Instances as drawn against the components of what was predicted."""
    drawn = read_case_instances(paths.data, cases, case)
    if drawn is None:
        return {}
    unknown = label == cases.ignore if cases.ignore is not None else None
    return {
        structure: match_instances(
            np.where(label == value, drawn.array, 0),
            components(predicted == value, connectivity="all"),
            iou_threshold=params.instance_iou,
            ignore=unknown,
        )
        for structure, value in zip(cases.structures, cases.values, strict=True)
        if value != 0
    }


def _indices(values: np.ndarray, cases: CaseList, known: np.ndarray) -> np.ndarray:
    """Class indices; -1 where nobody annotated."""
    order = np.searchsorted(np.sort(cases.values), values)
    table = np.argsort(cases.values)
    return np.where(known, table[np.minimum(order, len(table) - 1)], -1)


def _compare(
    reference: np.ndarray,
    prediction: np.ndarray,
    *,
    spacing: tuple[float, float, float],
    voxel_volume: float,
    params: EvaluateParams,
    unit: str,
) -> Row:
    """The figures of one structure of one case, by the policy."""
    sizes = int(reference.sum()), int(prediction.sum())
    both = int((reference & prediction).sum())
    empty = sizes == (0, 0)
    failed = not empty and both == 0
    nothing, worst = math.nan, 0.0
    row: Row = {
        "failed": failed,
        "dice": metrics.dice(reference, prediction),
        "iou": metrics.iou(reference, prediction),
        "precision": both / sizes[1] if sizes[1] else (nothing if empty else worst),
        "recall": both / sizes[0] if sizes[0] else (nothing if empty else worst),
    }
    row["f1"] = row["dice"]  # the same number for two masks
    if 0 in sizes:
        extent = [
            (n - 1) * s for n, s in zip(reference.shape, spacing, strict=True) if n > 1
        ]
        row[f"hd95_{unit}"] = nothing if empty else math.hypot(*extent)
        row["surface_dice"] = nothing if empty else worst
    else:
        distances = metrics.surface_distances(reference, prediction, spacing=spacing)
        row[f"hd95_{unit}"] = distances.hausdorff(95.0)
        row["surface_dice"] = distances.surface_dice(params.surface_tolerance)
    name, size = ("ml", voxel_volume / 1000) if unit == "mm" else ("px", 1.0)
    row[f"reference_{name}"] = sizes[0] * size
    row[f"predicted_{name}"] = sizes[1] * size
    row["volume_error"] = (sizes[1] - sizes[0]) / sizes[0] if sizes[0] else nothing
    return row


def _summary(rows: list[Row], unit: str) -> dict[str, Any]:
    """Means over cases and structures; n counted, empty and failed beside them."""
    counted = [row for row in rows if not math.isnan(row["dice"])]
    summary: dict[str, Any] = {
        "n": len(counted),
        "n_empty": len(rows) - len(counted),
        "n_failed": sum(row["failed"] for row in rows),
    }
    for name in (
        "dice",
        "iou",
        "precision",
        "recall",
        "f1",
        f"hd95_{unit}",
        "surface_dice",
    ):
        summary[f"{name}_mean"] = _mean([row[name] for row in counted])
    errors = [row["volume_error"] for row in counted]
    summary["volume_error_mean"] = _mean(errors)
    summary["volume_error_absolute_mean"] = _mean([abs(error) for error in errors])
    summary["dice_worst"] = min((row["dice"] for row in counted), default=math.nan)
    return summary


def _mean(values: list[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def _dataset(confusion: np.ndarray, names: tuple[str, ...]) -> dict[str, Any]:
    """Figures of all test voxels together."""
    recall = metrics.recall_of(confusion)
    by_class = {
        "dice": metrics.dice_of(confusion),
        "iou": metrics.iou_of(confusion),
        "precision": metrics.precision_of(confusion),
        "recall": recall,
    }
    return {
        "pixel_accuracy": metrics.pixel_accuracy_of(confusion),
        "mean_pixel_accuracy": metrics.mean_of(recall),
        "mean_iou": metrics.mean_of(metrics.iou_of(confusion)),
        "frequency_weighted_iou": metrics.frequency_weighted_iou_of(confusion),
        **{
            f"{figure}_dataset": dict(zip(names, values.tolist(), strict=True))
            for figure, values in by_class.items()
        },
    }


def _instances(matches: list[dict[str, InstanceMatch]]) -> dict[str, Any] | None:
    """Instance figures of the structures that have instances in any case."""
    structures = sorted(
        {
            name
            for match in matches
            for name, found in match.items()
            if found.n_reference
        }
    )
    if not structures:
        return None
    return {
        **_sum_up([match[name] for match in matches for name in structures if match]),
        "structures": {
            name: _sum_up([match[name] for match in matches if match])
            for name in structures
        },
    }


def _sum_up(matches: list[InstanceMatch]) -> dict[str, Any]:
    total = InstanceMatch(
        n_reference=sum(match.n_reference for match in matches),
        n_predicted=sum(match.n_predicted for match in matches),
        true_positives=sum(match.true_positives for match in matches),
        merges=sum(match.merges for match in matches),
        splits=sum(match.splits for match in matches),
        mean_iou=_mean([match.mean_iou for match in matches]),
    )
    return {
        "f1": total.f1,
        "f1_mean": _mean([match.f1 for match in matches]),
        "merges": total.merges,
        "splits": total.splits,
        "n_reference": total.n_reference,
        "n_predicted": total.n_predicted,
        "true_positives": total.true_positives,
        "mean_iou": total.mean_iou,
    }


def _groups(
    params: EvaluateParams, cases: list[Case], rows: list[Row], unit: str
) -> dict[str, Any]:
    groups: dict[str, Any] = {}
    for column in params.group_by:
        members = defaultdict(set)
        for case in cases:
            if column in case.attributes:
                members[case.attributes[column]].add(case.name)
        groups[column] = {
            value: _summary([row for row in rows if row["case"] in names], unit)
            for value, names in sorted(members.items())
        }
    return groups


def _worst_first(rows: list[Row]) -> list[Row]:
    """Rows of the case with the lowest mean Dice first; empty structures last."""
    scores = defaultdict(list)
    for row in rows:
        scores[row["case"]].append(row["dice"])

    def rank(row: Row) -> tuple[float, str]:
        mean = _mean(scores[row["case"]])
        return (2.0 if math.isnan(mean) else mean, row["case"])

    return sorted(rows, key=rank)


def _csv(rows: list[Row]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _cell(value) for name, value in row.items()})
    return text.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6g}"
    return value


def _without_nan(document: Any) -> Any:
    """The document with null for NaN, which JSON does not know."""
    if isinstance(document, dict):
        return {name: _without_nan(value) for name, value in document.items()}
    if isinstance(document, float) and math.isnan(document):
        return None
    return document
