"""Measuring: name the groups by training cases, then measure the test cases."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import TypeVar

import numpy as np
from jaxtyping import Int32, Int64, Integer
from scipy import ndimage

from segpipe.dataset.case import Case, CaseList
from segpipe.dataset.case_files import (
    read_case,
    read_case_instances,
    read_case_label,
)
from segpipe.dataset.casework.mapping import map_cases
from segpipe.dataset.split import Split
from segpipe.evaluation.figures import Figures
from segpipe.evaluation.report.baselines.methods import Method, group_voxels
from segpipe.evaluation.report.baselines.naming import Names, name_groups
from segpipe.evaluation.report.tables import Evaluated
from segpipe.evaluation.results import CaseResult, measure_case, sum_up
from segpipe.images.grid import Grid
from segpipe.images.instances import components, distance_inside, find_instances
from segpipe.project.errors import DataError
from segpipe.segmenter.rules.instances import InstanceRule, divide

log = logging.getLogger(__name__)
R = TypeVar("R")
NAMED_BY = 16  # training cases at most


def measure_baselines(
    methods: Sequence[Method],
    cases: CaseList,
    split: Split,
    *,
    folds: Sequence[int],
    like: Figures,
    data: Path,
) -> dict[str, Evaluated]:
    """Measure methods that learn nothing as the networks were measured.

    Args:
        methods: The methods.
        cases: The data set.
        split: The sides of its cases.
        folds: The folds whose training cases name the groups, evenly spaced ones.
        like: Figures of a network: how it was measured.
        data: Folder of the data.

    Returns:
        What each method reached, by its name; nothing where no case is tested.

    Raises:
        DataError: If the figures of the network do not say their tolerance.
    """
    if not methods or not split.test:
        return {}
    _tolerance(like)
    allowed = sorted({name for fold in folds for name in split.folds[fold].training})
    chosen = allowed[:: -(-len(allowed) // NAMED_BY)]
    slim = cases.model_copy(update={"cases": ()})
    counts = _over(partial(_count, methods, slim, data), cases, chosen, "naming")
    names: dict[Method, Names] = {}
    for method in methods:
        total = np.sum([of[method] for of in counts], axis=0)
        names[method] = name_groups(total, cases.legend)
        words = ", ".join(cases.legend.classes[number] for number in names[method])
        log.info("%s: the groups, from dark to bright, are %s", method, words)
    measure = partial(_measure, names, slim, like, data)
    measured = _over(measure, cases, split.test, "measuring")
    return {
        method: _sum_up(method, [of[method] for of in measured], cases, split, like)
        for method in methods
    }


def _tolerance(like: Figures) -> float:
    """The tolerance of surface Dice by which the networks were measured."""
    if like.surface_tolerance is None:
        raise DataError(
            f"the figures of {like.model}: expected the tolerance of surface Dice, by "
            "which report.baselines are measured, found none, since an older segpipe "
            f"wrote them; run segpipe evaluate --model {like.model} again"
        )
    return like.surface_tolerance


def _sum_up(
    method: Method,
    measured: list[tuple[CaseResult, float]],
    cases: CaseList,
    split: Split,
    like: Figures,
) -> Evaluated:
    """Sum up the results of a method and the seconds that it took."""
    results = [result for result, _ in measured]
    figures = sum_up(
        method,
        cases,
        [cases[name] for name in split.test],
        results,
        surface_tolerance=_tolerance(like),
        instance_iou=like.instance_iou,
        group_by=tuple(like.groups),
    )
    rows = {(r["case"], r["structure"]): r for of in results for r in of.rows}
    return Evaluated(figures, rows, {}, {}, fmean(seconds for _, seconds in measured))


def _over(
    function: Callable[[Case], R], cases: CaseList, chosen: Sequence[str], doing: str
) -> list[R]:
    """Call a function on some cases, and show the progress."""
    return map_cases(
        function,
        [cases[name] for name in chosen],
        workers=1,
        name=lambda case: case.name,
        describe=f"baselines, {doing}",
    )


def _count(
    methods: Sequence[Method], cases: CaseList, data: Path, case: Case
) -> dict[Method, Int64[np.ndarray, "class group"]]:
    """Voxels of a training case by their class and group."""
    image, label = read_case(data, cases, case), read_case_label(data, cases, case)
    count = len(cases.values)
    found = {}
    for method in methods:
        groups = group_voxels(image, method, groups=count)
        found[method] = np.array(
            [
                np.bincount(groups[label.array == value], minlength=count)
                for value in cases.values
            ]
        )
    return found


def _measure(
    names: Mapping[Method, Names],
    cases: CaseList,
    like: Figures,
    data: Path,
    case: Case,
) -> dict[Method, tuple[CaseResult, float]]:
    """Results of a test case, and the CPU seconds that each method took."""
    image, label = read_case(data, cases, case), read_case_label(data, cases, case)
    drawn = read_case_instances(data, cases, case)
    values = np.array(cases.values, dtype=np.int32)
    found = {}
    for method, of_groups in names.items():
        start = time.process_time()
        groups = group_voxels(image, method, groups=len(values))
        predicted = values[np.array(of_groups)][groups]
        ids = np.zeros_like(predicted)
        if drawn is not None:
            ids = _instances(predicted, label.grid, method)
        seconds = time.process_time() - start
        result = measure_case(
            cases,
            case.name,
            label,
            drawn,
            predicted,
            ids,
            surface_tolerance=_tolerance(like),
            instance_iou=like.instance_iou,
        )
        found[method] = (result, seconds)
    return found


def _instances(
    predicted: Integer[np.ndarray, "i j k"], grid: Grid, method: Method
) -> Int32[np.ndarray, "i j k"]:
    """Components of each structure; ``watershed`` divides them by distance.

    Seeds of an instance lie at least as far apart as the median component is deep.
    """
    if method != "watershed":
        return find_instances(predicted, grid=grid, separation=None)
    result = np.zeros(predicted.shape, dtype=np.int32)
    for value in np.unique(predicted[predicted != 0]):
        mask = predicted == value
        parts = components(mask, connectivity="all")
        depth = distance_inside(mask, grid.spacing)
        deepest = ndimage.maximum(depth, parts, range(1, int(parts.max()) + 1))
        apart = float(np.median(deepest))
        rule = InstanceRule(seeds="distance", threshold=apart, smallest_mm3=0)
        own = divide(mask, None, rule, spacing=grid.spacing)
        result += np.where(own > 0, own + result.max(), 0).astype(np.int32)
    return result
