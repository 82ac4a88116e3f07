"""Results: what a model reached on each case, and summed up over the cases."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int64, Integer

from segpipe.dataset.case import Case, CaseList
from segpipe.evaluation.figures import Figures
from segpipe.evaluation.matching import InstanceMatch
from segpipe.evaluation.measures import metrics
from segpipe.evaluation.scores import (
    POLICY,
    Row,
    compare,
    match_structures,
    pool,
    sum_instances,
    summarize,
)
from segpipe.images.volume import LabelMap
from segpipe.project.documents import Unit


@dataclass(frozen=True, eq=False)
class CaseResult:
    """Results of one case.

    Attributes:
        rows: Figures of each structure.
        confusion: Voxels by their class in the reference (rows) and predicted
            (columns).
        instances: Matched instances of each structure, by its name.
    """

    rows: list[Row]
    confusion: Int64[np.ndarray, "classes classes"]
    instances: dict[str, InstanceMatch]


def measure_case(
    cases: CaseList,
    case: str,
    label: LabelMap,
    drawn: LabelMap | None,
    predicted: Integer[np.ndarray, "i j k"],
    found: Integer[np.ndarray, "i j k"],
    *,
    surface_tolerance: float,
    instance_iou: float,
) -> CaseResult:
    """Compare the prediction of a case with its reference.

    Args:
        cases: The data set.
        case: Name of the case.
        label: The reference.
        drawn: Instance ids of the reference, if there are any.
        predicted: The prediction on the same grid, in the values of the data set.
        found: The predicted instance ids; 0 for no instance.
        surface_tolerance: Tolerance of surface Dice, in the data set's unit.
        instance_iou: IoU above which two instances match.
    """
    known = np.ones(label.array.shape, dtype=bool)
    if cases.ignore is not None:
        known = label.array != cases.ignore
    rows: list[Row] = []
    legend = cases.legend
    for number, structure in enumerate(legend.structures[1:], start=1):
        figures = compare(
            legend.mask(label.array, number) & known,
            legend.mask(predicted, number) & known,
            spacing=label.grid.spacing,
            voxel_volume=label.grid.voxel_volume,
            surface_tolerance=surface_tolerance,
            unit=cases.unit,
        )
        rows.append({"case": case, "structure": structure, **figures})
    confusion = metrics.confusion_matrix(
        _indices(label.array, cases, known),
        _indices(predicted, cases, known),
        n_classes=len(cases.values),
        ignore=-1,
    )
    matches = match_structures(
        cases, label, drawn, predicted, found, iou_threshold=instance_iou
    )
    return CaseResult(rows, confusion, matches)


def _indices(values: np.ndarray, cases: CaseList, known: np.ndarray) -> np.ndarray:
    """Class indices; -1 where not annotated."""
    order = np.searchsorted(np.sort(cases.values), values)
    table = np.argsort(cases.values)
    return np.where(known, table[np.minimum(order, len(table) - 1)], -1)


def sum_up(
    model: str,
    cases: CaseList,
    chosen: Sequence[Case],
    results: Sequence[CaseResult],
    *,
    surface_tolerance: float,
    instance_iou: float,
    group_by: Sequence[str],
) -> Figures:
    """Sum up the results of a model.

    Args:
        model: Name of the model.
        cases: The data set.
        chosen: The cases, in the order of the results.
        results: Results of each case.
        surface_tolerance: Tolerance of surface Dice by which they were measured.
        instance_iou: IoU above which instances were matched.
        group_by: Columns of patients.csv.
    """
    rows = [row for result in results for row in result.rows]
    return Figures(
        format_version=1,
        model=model,
        policy=POLICY,
        unit=cases.unit,
        cases=len(chosen),
        test=summarize(rows, cases.unit),
        structures={
            name: summarize(
                [row for row in rows if row["structure"] == name], cases.unit
            )
            for name in cases.structures[1:]
        },
        dataset=pool(sum_confusion(results, len(cases.values)), cases.legend),
        instances=sum_instances([result.instances for result in results]),
        instance_iou=instance_iou,
        groups=_groups(group_by, chosen, results, cases.unit),
        surface_tolerance=surface_tolerance,
    )


def sum_confusion(
    results: Sequence[CaseResult], count: int
) -> Int64[np.ndarray, "classes classes"]:
    """The confusion of all cases; zeros where no case is tested."""
    none = np.zeros((count, count), dtype=np.int64)
    total: np.ndarray = np.sum([none, *(r.confusion for r in results)], axis=0)
    return total


def _groups(
    group_by: Sequence[str],
    cases: Sequence[Case],
    results: Sequence[CaseResult],
    unit: Unit,
) -> dict[str, Any]:
    """Means and instance figures for each value of each column."""
    groups: dict[str, Any] = {}
    for column in group_by:
        members = defaultdict(list)
        for case, result in zip(cases, results, strict=True):
            if column in case.attributes:
                members[case.attributes[column]].append(result)
        groups[column] = {
            value: {
                **summarize([row for one in found for row in one.rows], unit),
                "instances": sum_instances([one.instances for one in found]),
            }
            for value, found in sorted(members.items())
        }
    return groups
