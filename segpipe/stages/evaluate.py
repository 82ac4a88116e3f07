"""evaluate: compare predictions with references, by case and structure."""

import logging
from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from segpipe.dataset.case import Case, CaseList, read_cases
from segpipe.dataset.case_files import (
    prediction_file,
    predictions_folder,
    read_case_instances,
    read_case_label,
    read_predicted_instances,
    read_prediction,
)
from segpipe.dataset.casework.mapping import map_cases
from segpipe.dataset.split import read_split
from segpipe.evaluation.figures import Figures, write_figures
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
from segpipe.images.grid import SAME_GRID
from segpipe.images.instances import find_instances
from segpipe.project.documents import Unit
from segpipe.project.errors import DataError
from segpipe.project.params import Params
from segpipe.project.paths import Paths

log = logging.getLogger(__name__)


class EvaluateParams(Params):
    """Section evaluate of params.yaml.

    Attributes:
        surface_tolerance: Tolerance of surface Dice, in the data set's unit.
        instance_iou: IoU above which two instances match, at least 0.5.
        group_by: Columns of patients.csv; means are also given for each value of these.
        workers: Number of processes; each holds one case.
    """

    surface_tolerance: float
    instance_iou: float
    group_by: tuple[str, ...]
    workers: int


@dataclass(frozen=True, eq=False)
class _Result:
    """Results of one case."""

    rows: list[Row]
    confusion: np.ndarray
    instances: dict[str, InstanceMatch]  # by structure


def run(params: EvaluateParams, *, model: str, paths: Paths) -> None:
    """Write the figures of a model to artifacts/evaluate/MODEL."""
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
    count = len(cases.values)
    none = np.zeros((count, count), dtype=np.int64)  # where no case is tested
    confusion = np.sum([none, *(result.confusion for result in results)], axis=0)
    test = summarize(rows, cases.unit)
    figures = Figures(
        format_version=1,
        model=model,
        policy=POLICY,
        unit=cases.unit,
        cases=len(chosen),
        test=test,
        structures={
            name: summarize(
                [row for row in rows if row["structure"] == name], cases.unit
            )
            for name in cases.structures[1:]
        },
        dataset=pool(confusion, cases.legend),
        instances=sum_instances([result.instances for result in results]),
        instance_iou=params.instance_iou,
        groups=_groups(params, chosen, results, cases.unit),
    )
    write_figures(
        paths.artifacts,
        figures,
        rows=rows,
        confusion=confusion,
        classes=cases.legend.classes,
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
    """Compare one case; a missing prediction counts as an empty one."""
    label = read_case_label(paths.data, cases, case)
    other = read_prediction(paths.artifacts, model, cases, case.name)
    if other is None:
        log.warning("%s: no prediction of %s, which counts as failed", case.name, model)
        predicted = np.zeros_like(label.array)
    else:
        if not label.grid.matches(other.grid, tolerance=SAME_GRID):
            folder = predictions_folder(paths.artifacts, model)
            raise DataError(
                f"{prediction_file(folder, cases, case.name)}: expected the grid of "
                f"{case.label}, found another ({other.grid.shape} against "
                f"{label.grid.shape}); run predict again"
            )
        predicted = other.array
    known = np.ones(label.array.shape, dtype=bool)
    if cases.ignore is not None:
        known = label.array != cases.ignore
    spacing, voxel = label.grid.spacing, label.grid.voxel_volume
    rows: list[Row] = []
    legend = cases.legend
    for number, structure in enumerate(legend.structures[1:], start=1):
        figures = compare(
            legend.mask(label.array, number) & known,
            legend.mask(predicted, number) & known,
            spacing=spacing,
            voxel_volume=voxel,
            surface_tolerance=params.surface_tolerance,
            unit=cases.unit,
        )
        rows.append({"case": case.name, "structure": structure, **figures})
    confusion = metrics.confusion_matrix(
        _indices(label.array, cases, known),
        _indices(predicted, cases, known),
        n_classes=len(cases.values),
        ignore=-1,
    )
    ids = read_predicted_instances(paths.artifacts, model, cases, case.name)
    if ids is None:  # label maps from elsewhere
        found = find_instances(predicted, grid=label.grid, separation=None)
    else:
        found = ids.array
    matches = match_structures(
        cases,
        label,
        read_case_instances(paths.data, cases, case),
        predicted,
        found,
        iou_threshold=params.instance_iou,
    )
    return _Result(rows, confusion, matches)


def _indices(values: np.ndarray, cases: CaseList, known: np.ndarray) -> np.ndarray:
    """Class indices; -1 where not annotated."""
    order = np.searchsorted(np.sort(cases.values), values)
    table = np.argsort(cases.values)
    return np.where(known, table[np.minimum(order, len(table) - 1)], -1)


def _groups(
    params: EvaluateParams, cases: list[Case], results: list[_Result], unit: Unit
) -> dict[str, Any]:
    """Means and instance figures for each value of each column."""
    groups: dict[str, Any] = {}
    for column in params.group_by:
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
