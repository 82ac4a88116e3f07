"""Results of a case, and summed up over cases and groups, by arithmetic."""

import numpy as np
import pytest

from segpipe.dataset.case import Case, CaseList
from segpipe.evaluation.results import (
    CaseResult,
    measure_case,
    sum_confusion,
    sum_up,
)
from segpipe.images.grid import Grid
from segpipe.images.volume import LabelMap

CASES = CaseList(
    format_version=1,
    dimensions=3,
    unit="mm",
    spacing_mm=None,
    file_ending=".nii",
    channels=("ct",),
    labels={"background": 0, "liver": 3, "fat": 1},
    ignore=9,
    cases=(),
)


def case(name: str, **attributes: str) -> Case:
    return Case(
        name=name,
        patient=name,
        images=(),
        label="",
        instances=None,
        shape=(6, 1, 1),
        spacing=(1.0, 1.0, 1.0),
        attributes=attributes,
        warnings=(),
    )


def measured(name: str, reference: list[int], predicted: list[int]) -> CaseResult:
    grid = Grid.from_spacing((6, 1, 1), (1.0, 1.0, 1.0), "mm")
    drawn, found = (
        np.array(line, dtype=np.int16).reshape(6, 1, 1)
        for line in (reference, predicted)
    )
    return measure_case(
        CASES,
        name,
        LabelMap(drawn, grid),
        None,
        found,
        np.zeros((6, 1, 1), dtype=np.int32),
        surface_tolerance=1.0,
        instance_iou=0.5,
    )


def test_voxels_are_counted_by_class_without_those_that_nobody_annotated() -> None:
    """Classes stand in the order of their values: background, fat, liver."""
    found = measured("a", [0, 3, 3, 1, 1, 9], [0, 3, 1, 1, 0, 3])

    assert found.confusion.tolist() == [[1, 0, 0], [1, 1, 0], [0, 1, 1]]
    dice = {row["structure"]: row["dice"] for row in found.rows}
    assert dice == {"liver": pytest.approx(2 / 3), "fat": pytest.approx(2 / 4)}
    assert found.instances == {}


def test_figures_are_means_over_cases_and_over_those_of_a_group() -> None:
    results = [
        measured("a", [3, 3, 1, 1, 0, 0], [3, 3, 1, 1, 0, 0]),
        measured("b", [3, 3, 1, 1, 0, 0], [0, 0, 1, 1, 0, 0]),
    ]
    figures = sum_up(
        "m",
        CASES,
        [case("a", site="x"), case("b", site="y")],
        results,
        surface_tolerance=2.0,
        instance_iou=0.5,
        group_by=("site",),
    )

    assert figures.cases == 2
    assert figures.test["dice_mean"] == 0.75
    assert figures.structures["liver"]["dice_mean"] == 0.5
    assert figures.structures["liver"]["n_failed"] == 1
    assert figures.dataset["pixel_accuracy"] == pytest.approx(10 / 12)
    assert figures.instances is None
    assert figures.surface_tolerance == 2
    means = {site: of["dice_mean"] for site, of in figures.groups["site"].items()}
    assert means == {"x": 1, "y": 0.5}


def test_no_case_has_a_confusion_of_zeros() -> None:
    assert sum_confusion([], 2).tolist() == [[0, 0], [0, 0]]
