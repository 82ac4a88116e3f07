"""Coarse: the training of the network that finds where structures are."""

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
from jaxtyping import Int32, Integer

from segpipe.images.volume import SLICES
from segpipe.project.progress import track
from segpipe.segmenter.plan import CoarsePlan, PatchPlan
from segpipe.segmenter.preprocessing.shrinking import shrink_image, shrink_label
from segpipe.segmenter.spec import CoarseSpec, coarse_plan, coarse_spec
from segpipe.training.losses import build_loss
from segpipe.training.patches.cases import PLACES, TrainingCase
from segpipe.training.task.build import Task, balanced_weights


def coarse_task(task: Task, coarse: CoarsePlan, alive: Callable[[], None]) -> Task:
    """The training of the coarse network, on the cases of another training.

    The cases are shrunk, which takes a pass over all prepared volumes, and stay in
    memory.

    Args:
        task: The training at full resolution.
        coarse: Its plan's resolution, and patch.
        alive: Called after each case.
    """
    params = task.params.of_coarse
    plan = coarse_plan(task.plan, coarse.factor)
    how = build_coarse_spec(task, coarse)
    spec = coarse_spec(task.spec, how)
    cases: Iterable[TrainingCase] = [*task.training, *task.validation]
    if task.world.first:
        total = len(task.training) + len(task.validation)
        cases = track(cases, "coarse cases", total=total, unit="case")
    known = {}
    for case in cases:
        known[case.name] = shrink_case(task, case, coarse)
        alive()
    training = [known[case.name] for case in task.training]
    weights = np.ones(2, np.float32)
    if params.class_weights != "none":
        counts = [np.bincount(c.label[c.label >= 0], minlength=2) for c in training]
        weights = balanced_weights(np.sum(counts, axis=0))
    return replace(
        task,
        params=params,
        plan=plan,
        patch=PatchPlan(
            format_version=1,
            patch_size=coarse.patch_size,
            batch_size=task.patch.batch_size,
            slice_axis=None,
            memory_gb=coarse.memory_gb,
            topology=coarse.topology,
        ),
        spec=spec,
        loss=build_loss(params.loss, task.world.total, None),
        training=training,
        validation=[known[case.name] for case in task.validation],
        class_weights=weights,
        pretrained=task.pretrained and task.pretrained.coarse,
        checkpoints=task.checkpoints / "coarse",
    )


def build_coarse_spec(task: Task, coarse: CoarsePlan) -> CoarseSpec:
    """The coarse part of a segmenter, before its threshold is chosen."""
    network = task.params.coarse_network_spec(task.plan, coarse.factor)
    return CoarseSpec(
        network=network.planned(coarse.patch_size, None, coarse.topology),
        factor=coarse.factor,
        patch_size=coarse.patch_size,
        thresholds=(0.5,),
        reach=1,
        missed=None,
        looked_at=None,
    )


def shrink_case(task: Task, case: TrainingCase, coarse: CoarsePlan) -> TrainingCase:
    """A prepared case at the coarse resolution, with one structure of all."""
    length = case.image.shape[1]
    parts = (case.image[:, at : at + SLICES] for at in range(0, length, SLICES))
    label = shrink_label(structure_of(task, case), coarse.factor)
    return TrainingCase(
        name=case.name,
        image=shrink_image(parts, case.label.shape, coarse.factor),
        label=label,
        border=None,
        separation=None,
        places=_shrink_places(case, label, coarse, task.params.seed),
        quantiles=case.quantiles,
    )


def _shrink_places(
    case: TrainingCase,
    label: Integer[np.ndarray, "i j k"],
    coarse: CoarsePlan,
    seed: int,
) -> dict[int, Int32[np.ndarray, "n 3"]]:
    """The coarse voxels of each structure of a case, so that each is drawn as often.

    Background has places where it had any, drawn anew.
    """
    factor = np.array(coarse.factor, np.int32)
    places = {
        number: np.unique(found // factor, axis=0)
        for number, found in case.places.items()
        if number
    }
    background = np.argwhere(label == 0).astype(np.int32)
    if 0 in case.places and len(background):
        rng = np.random.default_rng(seed)
        count = min(len(background), PLACES)
        chosen = np.sort(rng.choice(len(background), count, replace=False))
        places[0] = background[chosen]
    return places


def structure_of(task: Task, case: TrainingCase) -> Integer[np.ndarray, "i j k"]:
    """1 where a case has a structure, 0 where it has none, -1 where nobody knows."""
    label = np.asarray(case.label)
    holds = np.asarray(task.plan.legend.table[1:].any(0))
    known = holds.astype(np.int8)[np.maximum(label, 0)]
    return np.where(label < 0, np.int8(-1), known)
