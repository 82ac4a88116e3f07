"""Choosing: rules of post-processing and of instances, by held-out cases."""

import logging
import math
from collections.abc import Sequence

import numpy as np

from segpipe.evaluation.matching import Overlap, average_precision
from segpipe.segmenter.inference.inference import Inference
from segpipe.segmenter.rules.choice import choose_rules
from segpipe.segmenter.rules.instances import WHOLE, InstanceRule, Target
from segpipe.segmenter.rules.postprocessing import NOTHING, StructureRule
from segpipe.segmenter.segmenter import Segmenter
from segpipe.training.patches.cases import TrainingCase
from segpipe.training.validation.validate import (
    instances_of,
    overlaps_by_structure,
    predict_case,
)

log = logging.getLogger(__name__)
PROBABILITIES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)  # of seeds
DEPTHS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8)  # of seeds; the border line has .2
RADII = (0.5, 0.75, 1.0)  # distance of seeds, in the median radius of the references
SMALLEST = (0.005, 0.01, 0.02, 0.05)  # quantiles of the references' sizes


def choose_postprocessing(
    segmenter: Segmenter, cases: Sequence[TrainingCase], inference: Inference
) -> tuple[StructureRule, ...]:
    """Choose the post-processing rules that improve Dice on held-out cases.

    Args:
        segmenter: The segmenter whose label maps are post-processed.
        cases: Prepared cases; one at a time is predicted as a whole.
        inference: Tiles, blending, memory and compute.

    Returns:
        One rule for each structure; no rules without any case. A structure of which
        the annotated voxels show no whole component has a rule that does nothing.
    """
    plan = segmenter.spec.plan
    if not cases:
        log.info("post-processing: no rules, as there are no validation cases")
        return ()
    choices = choose_rules(
        [case.label for case in cases],
        (predict_case(segmenter, case, inference).classes for case in cases),
        n_structures=len(plan.structures) - 1,
        voxel_volume=math.prod(plan.spacing),
        legend=plan.legend.indexed,
    )
    for name, choice in zip(plan.structures[1:], choices, strict=True):
        if not choice.whole:
            log.info(
                "post-processing of %s: nothing, as no validation case shows a whole "
                "component of it among annotated voxels",
                name,
            )
            continue
        log.info(
            "post-processing of %s: %s (Dice %.4f -> %.4f)",
            name,
            choice.rule.words(plan.unit),
            choice.dice_before,
            choice.dice_after,
        )
    return tuple(choice.rule for choice in choices)


def choose_instances(
    segmenter: Segmenter, cases: Sequence[TrainingCase], inference: Inference
) -> tuple[InstanceRule, ...]:
    """Choose how instances are told apart, by their average precision.

    All held-out cases are pooled. Of equal rules the first is taken: connected
    components, then seeds by probability, then by distance; the smallest size last.

    Args:
        segmenter: The segmenter after its post-processing was chosen.
        cases: Prepared cases; one at a time is predicted as a whole.
        inference: Tiles, blending, memory and compute.

    Returns:
        One rule for each structure; one without instances in the references has
        connected components. None at all if no case has any.
    """
    plan = segmenter.spec.plan
    sizes = _sizes(cases, len(plan.values) - 1)
    if not any(len(own) for own in sizes):
        return ()
    voxel = math.prod(plan.spacing)
    tried = _tried(sizes, plan.dimensions, voxel, segmenter.spec.target)
    found: list[list[list[Overlap]]] = []  # case, rule, structure
    for case in cases:
        seen = predict_case(segmenter, case, inference)
        found.append(
            [
                overlaps_by_structure(
                    segmenter.spec, case, seen.classes, seen.inside, rule
                )
                for rule in tried
            ]
        )
    chosen = []
    for number, name in enumerate(plan.structures[1:]):
        if not len(sizes[number]):
            chosen.append(WHOLE)
            continue
        smallest = [0.0, *(np.quantile(sizes[number], SMALLEST) / 2)]
        scores = {
            (at, size): average_precision(
                [case[at][number] for case in found], smallest=size
            )
            for at in range(len(tried))
            for size in smallest
        }
        at, size = max(scores, key=lambda key: scores[key])  # the first of equals
        rule = tried[at].model_copy(update={"smallest_mm3": float(size * voxel)})
        log.info(
            "instances of %s: %s (AP %.4f -> %.4f)",
            name,
            rule.words(plan.unit),
            scores[0, 0.0],
            scores[at, size],
        )
        chosen.append(rule)
    return tuple(chosen)


def without_debris(
    rules: tuple[StructureRule, ...], instances: tuple[InstanceRule, ...]
) -> tuple[StructureRule, ...]:
    """Drop in the label map, too, what is too small for an instance.

    A structure whose instances were judged has this rule only: what Dice would choose,
    such as the largest component, would drop instances.

    Args:
        rules: Rule of each structure by Dice, or none at all.
        instances: Rule of the instances of each structure, or none at all.
    """
    if not instances:
        return rules
    before = rules or (NOTHING,) * len(instances)
    return tuple(
        rule
        if of.seeds == "components" and not of.smallest_mm3
        else NOTHING.model_copy(update={"smallest_mm3": of.smallest_mm3})
        for rule, of in zip(before, instances, strict=True)
    )


def _sizes(cases: Sequence[TrainingCase], n_structures: int) -> list[np.ndarray]:
    """Voxels of the references' instances of each structure."""
    sizes: list[list[np.ndarray]] = [[] for _ in range(n_structures)]
    for case in cases:
        drawn, label = instances_of(case), np.asarray(case.label)
        for value, own in enumerate(sizes, start=1):
            mine = drawn[(label == value) & (drawn > 0)]
            own.append(np.unique(mine, return_counts=True)[1])
    return [np.concatenate(own) if own else np.zeros(0) for own in sizes]


def _tried(
    sizes: Sequence[np.ndarray],
    dimensions: int,
    voxel_volume: float,
    target: Target,
) -> list[InstanceRule]:
    """The rules that are tried, without a smallest size."""
    volume = float(np.median(np.concatenate(sizes))) * voxel_volume
    # Of a disc of thickness 1, or of a ball.
    radius = (
        math.sqrt(volume / math.pi)
        if dimensions == 2
        else (3 * volume / (4 * math.pi)) ** (1 / 3)
    )
    rules = [WHOLE]
    seeds = "depth" if target == "distance" else "probability"
    rules += [
        WHOLE.model_copy(update={"seeds": seeds, "threshold": threshold})
        for threshold in (DEPTHS if target == "distance" else PROBABILITIES)
    ]
    rules += [
        WHOLE.model_copy(update={"seeds": "distance", "threshold": share * radius})
        for share in RADII
    ]
    return rules
