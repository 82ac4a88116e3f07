"""Scores by hand: what counts, what does not, and what fails."""

import math
from typing import Any

import numpy as np
import pytest

from segpipe.dataset.case import CaseList
from segpipe.evaluation import scores
from segpipe.evaluation.matching import InstanceMatch, match_instances
from segpipe.evaluation.scores import (
    Row,
    compare,
    mean_known,
    pool,
    sum_instances,
    summarize,
)
from segpipe.images.grid import Grid
from segpipe.images.values import Legend, Unions
from segpipe.images.volume import LabelMap

CASES = CaseList(
    format_version=1,
    dimensions=3,
    unit="mm",
    spacing_mm=None,
    file_ending=".nii",
    channels=("MR",),
    labels={"background": 0, "a": 1, "none": 2, "b": 3},
    ignore=None,
    cases=(),
)
NOTHING = np.zeros((4, 4, 2), dtype=bool)
SLAB = NOTHING.copy()
SLAB[1:3] = True


def score(reference: np.ndarray, prediction: np.ndarray) -> Row:
    return compare(
        reference,
        prediction,
        spacing=(1.0, 1.0, 2.0),
        voxel_volume=2.0,
        surface_tolerance=1.0,
        unit="mm",
    )


def test_half_of_a_slab() -> None:
    half = SLAB.copy()
    half[2] = False
    row = score(SLAB, half)

    assert row["dice"] == row["f1"] == pytest.approx(2 / 3)
    assert row["iou"] == row["recall"] == 0.5
    assert row["precision"] == 1
    assert row["hd95_mm"] == 1
    assert row["volume_error"] == -0.5
    assert row["reference_ml"] == pytest.approx(16 * 2 / 1000)
    assert not row["failed"]


@pytest.mark.parametrize(
    ("reference", "prediction"), [(SLAB, NOTHING), (NOTHING, SLAB), (SLAB, ~SLAB)]
)
def test_missed_and_invented_structures_fail(
    reference: np.ndarray, prediction: np.ndarray
) -> None:
    row = score(reference, prediction)

    assert row["failed"]
    assert row["dice"] == row["iou"] == 0
    if not prediction.any() or not reference.any():
        assert row["hd95_mm"] == pytest.approx(math.hypot(3, 3, 2))
        assert row["surface_dice"] == 0


def test_nothing_on_both_sides_is_counted_as_empty() -> None:
    summary = summarize([score(NOTHING, NOTHING), score(SLAB, SLAB)], "mm")

    assert (summary["n"], summary["n_empty"], summary["n_failed"]) == (1, 1, 0)
    assert summary["dice_mean"] == 1
    assert summary["hd95_mm_mean"] == 0


def test_a_failure_lowers_every_mean() -> None:
    good, bad = score(SLAB, SLAB), score(SLAB, NOTHING)
    one, both = summarize([good], "mm"), summarize([good, bad], "mm")

    for name in ("dice", "iou", "precision", "recall", "f1", "surface_dice"):
        assert both[f"{name}_mean"] < one[f"{name}_mean"]
    assert both["hd95_mm_mean"] > one["hd95_mm_mean"]
    assert both["volume_error_absolute_mean"] > one["volume_error_absolute_mean"]
    assert (both["n"], both["n_failed"], both["dice_worst"]) == (2, 1, 0)


CELL = Legend(("background", "cell"), (0, 1), None)


def test_pooled_figures_are_by_class_name() -> None:
    found = pool(np.array([[6, 2], [0, 2]]), CELL)

    assert found["pixel_accuracy"] == 0.8
    assert found["dice_dataset"]["cell"] == pytest.approx(2 * 2 / (2 * 2 + 2))
    assert found["mean_iou"] == pytest.approx((6 / 8 + 2 / 4) / 2)


def test_structures_that_do_not_overlap_have_the_figures_of_classes() -> None:
    confusion = np.random.default_rng(0).integers(0, 50, (3, 3))
    names, values = ("background", "a", "b"), (0, 1, 2)
    regions = Unions(values=((1,), (2,)), order=(1, 2))

    found = pool(confusion, Legend(names, values, regions))

    assert found == pool(confusion, Legend(names, values, None))


def match(reference: int, predicted: int, hits: int) -> InstanceMatch:
    return InstanceMatch(
        reference, predicted, hits, 1, 0, 2, 3, 0.8, (hits,) * 10, 0.8 * hits
    )


def test_instances_are_summed_over_the_structures_that_have_some() -> None:
    cases = [
        {"cell": match(4, 4, 3), "vessel": match(0, 9, 0)},
        {"cell": match(0, 2, 0), "vessel": match(0, 0, 0)},
        {},
    ]
    found = sum_instances(cases)

    assert found is not None
    assert set(found["structures"]) == {"cell"}
    assert found["f1"] == pytest.approx(2 * 3 / (4 + 6))
    assert found["ap"] == pytest.approx(3 / (4 + 6 - 3))
    assert (found["merges"], found["missed"], found["debris"]) == (2, 4, 6)
    assert sum_instances([{"vessel": match(0, 1, 0)}]) is None


def test_a_mean_is_of_what_is_known() -> None:
    assert mean_known([1.0, math.nan, 3.0]) == 2
    assert math.isnan(mean_known([math.nan]))


def test_instances_of_a_structure_are_matched_in_its_own_box(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whole volumes, structure by structure, take hours with a hundred of them."""
    label = np.zeros((12, 10, 8), dtype=np.int16)
    label[1:3, 1:3, 1:3], label[8:11, 6:9, 2:6] = 1, 3
    predicted = label.copy()
    predicted[1:3, 1:3, 1:3], predicted[4:6, 1:3, 1:3] = 0, 1
    grid = Grid.from_spacing((12, 10, 8), (1.0, 1.0, 1.0), "mm")
    shapes = []

    def watched(*arrays: np.ndarray, **how: Any) -> InstanceMatch:
        shapes.append(arrays[0].shape)
        return match_instances(*arrays, **how)

    monkeypatch.setattr(scores, "match_instances", watched)
    found = scores.match_structures(
        CASES,
        LabelMap(label, grid),
        LabelMap(label, grid),
        predicted,
        predicted.astype(np.int32),
        iou_threshold=0.5,
    )

    assert shapes == [(5, 2, 2), (0, 0, 0), (3, 3, 4)]
    assert {
        name: (one.n_reference, one.n_predicted, one.true_positives)
        for name, one in found.items()
    } == {"a": (1, 1, 0), "none": (0, 0, 0), "b": (1, 1, 1)}
