"""evaluate: compare predictions with references, by case and structure."""

import logging
import math
from functools import partial

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
from segpipe.evaluation.figures import write_figures
from segpipe.evaluation.results import (
    CaseResult,
    measure_case,
    sum_confusion,
    sum_up,
)
from segpipe.images.grid import SAME_GRID
from segpipe.images.instances import find_instances
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
        size=lambda case: case.image_bytes,
    )
    figures = sum_up(
        model,
        cases,
        chosen,
        results,
        surface_tolerance=params.surface_tolerance,
        instance_iou=params.instance_iou,
        group_by=params.group_by,
    )
    write_figures(
        paths.artifacts,
        figures,
        rows=[row for result in results for row in result.rows],
        confusion=sum_confusion(results, len(cases.values)),
        classes=cases.legend.classes,
    )
    dice = figures.test["dice_mean"]
    log.info(
        "evaluate %s: Dice %.4f over %d cases, %d failed",
        model,
        math.nan if dice is None else dice,
        len(chosen),
        figures.test["n_failed"],
    )


def _evaluate(
    params: EvaluateParams, cases: CaseList, model: str, paths: Paths, case: Case
) -> CaseResult:
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
    ids = read_predicted_instances(paths.artifacts, model, cases, case.name)
    if ids is None:  # label maps from elsewhere
        found = find_instances(predicted, grid=label.grid, separation=None)
    else:
        found = ids.array
    return measure_case(
        cases,
        case.name,
        label,
        read_case_instances(paths.data, cases, case),
        predicted,
        found,
        surface_tolerance=params.surface_tolerance,
        instance_iou=params.instance_iou,
    )
