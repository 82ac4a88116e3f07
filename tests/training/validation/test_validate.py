"""Validation figures against those of the masks."""

from dataclasses import replace

import numpy as np
import pytest

from segpipe.evaluation.measures.metrics import dice, iou
from segpipe.evaluation.scores import compare, summarize
from segpipe.project.paths import Paths
from segpipe.segmenter.compute import ComputeParams, build_compute
from segpipe.segmenter.inference.inference import Inference
from segpipe.segmenter.plan import Plan
from segpipe.segmenter.segmenter import Segmenter
from segpipe.training.patches.cases import TrainingCase
from segpipe.training.validation.validate import (
    can_judge,
    find_doubts,
    validate,
    validation_names,
)
from tests.support.segmenters import NONE, make_plan, make_segmenter
from tests.support.tasks import make_task

SHAPE = (16, 8, 8)


def plan(*structures: str) -> Plan:
    return make_plan(
        channels=("x",),
        shape=SHAPE,
        normalization=(NONE,),
        structures=("background", *structures),
        values=tuple(range(len(structures) + 1)),
    )


def segmenter(about: Plan) -> Segmenter:
    return make_segmenter(about, network="unet3d", patch_size=SHAPE)


def case(seed: int, classes: int) -> TrainingCase:
    rng = np.random.default_rng(seed)
    label = rng.integers(-1, classes, SHAPE).astype(np.int16)
    return TrainingCase(
        name=f"case_{seed}",
        image=rng.normal(size=(1, *SHAPE)).astype(np.float32),
        label=label,
        border=None,
        separation=None,
        places={},
        quantiles=None,
    )


INFERENCE = Inference(
    overlap_fraction=0.0,
    blending="constant",
    memory_gb=0.001,
    mirror=False,
    compute=build_compute(
        ComputeParams(
            device="cpu", precision="fp32", threads=1, workers=0, compile=False
        )
    ),
)


def test_figures_are_those_of_the_masks_where_annotated() -> None:
    tried, cases = segmenter(plan("ball", "core")), [case(0, 3), case(1, 3)]
    found = validate(tried, cases, INFERENCE)

    expected: dict[str, list[float]] = {"ball": [], "core": []}
    overlaps, right = [], []
    for one in cases:
        slabs = tried.probabilities([one.image], one.image.shape[1:], INFERENCE)
        predicted = np.concatenate([slab.values.argmax(1).numpy() for slab in slabs])
        known = one.label >= 0
        right.append((predicted == one.label)[known].mean())
        for number, name in enumerate(("ball", "core"), start=1):
            masks = (one.label == number) & known, (predicted == number) & known
            expected[name].append(dice(*masks))
            overlaps.append(iou(*masks))
    assert found["validation_dice/ball"] == pytest.approx(np.mean(expected["ball"]))
    assert found["validation_dice/core"] == pytest.approx(np.mean(expected["core"]))
    mean = np.mean([*expected["ball"], *expected["core"]])
    assert found["validation_dice"] == pytest.approx(mean)
    assert found["validation_iou"] == pytest.approx(np.mean(overlaps))
    assert found["validation_pa"] == pytest.approx(np.mean(right))


def test_cases_without_a_structure_count_as_in_evaluate() -> None:
    """Found where it is not: 0; rightly not found: left out; so in evaluate's mean."""
    tried, whole = segmenter(plan("ball", "core")), case(0, 3)
    slabs = tried.probabilities([whole.image], whole.image.shape[1:], INFERENCE)
    predicted = np.concatenate([slab.values.argmax(1).numpy() for slab in slabs])
    assert set(predicted.flat) == {0, 1}  # this network knows no core
    labels = [
        whole.label,
        np.zeros_like(whole.label),  # a ball is found and is not there
        np.where(predicted > 0, np.int16(-1), np.int16(0)),  # nothing on either side
    ]
    found = validate(tried, [replace(whole, label=x) for x in labels], INFERENCE)

    rows = [
        compare(
            label == value,
            (predicted == value) & (label >= 0),
            spacing=(1.0, 1.0, 1.0),
            voxel_volume=1.0,
            surface_tolerance=1.0,
            unit="mm",
        )
        for label in labels
        for value in (1, 2)
    ]
    means = summarize(rows, "mm")
    assert means["n_empty"] == 3
    assert found["validation_dice"] == pytest.approx(means["dice_mean"])
    assert found["validation_iou"] == pytest.approx(means["iou_mean"])


def test_one_structure_has_no_figure_of_its_own() -> None:
    about = plan("ball")
    found = validate(segmenter(about), [case(0, 2)], INFERENCE)

    assert tuple(found) == validation_names(about, "dice")
    assert tuple(found) == ("validation_dice", "validation_iou", "validation_pa")


def test_a_structure_that_no_case_holds_has_no_figure() -> None:
    tried = segmenter(plan("ball", "core"))
    with np.errstate(all="raise"):
        found = validate(tried, [case(0, 2)], INFERENCE)

    assert 0 <= found["validation_dice/ball"] <= 1
    assert found["validation_dice/core"] == 0 or np.isnan(found["validation_dice/core"])


@pytest.mark.parametrize(
    ("shown", "judged", "said"),
    [
        ([{1, 2}, {0}], True, None),
        ([{1}, {2}], True, None),
        ([{0, 1}], True, "no validation case has core"),
        ([{0}, set()], False, "no validation case has an annotated structure"),
        ([], False, "no validation case: it is not judged"),
    ],
)
def test_a_fold_that_cannot_be_judged_is_said(
    shown: list[set[int]], judged: bool, said: str | None, prepared: Paths
) -> None:
    task = make_task(prepared)
    voxel = np.zeros((1, 3), dtype=np.int32)
    cases = [replace(case(0, 1), places=dict.fromkeys(of, voxel)) for of in shown]
    task = replace(task, validation=cases)
    doubts = find_doubts(task)

    assert can_judge(task) == judged
    assert len(doubts) == (said is not None)
    assert said is None or said in doubts[0]
    assert validate(segmenter(plan("ball")), [], INFERENCE) == {}
