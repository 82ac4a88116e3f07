"""Ceiling: the figures of a network without any error, and what takes the rest."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from segpipe.dataset.case import Case, CaseList, read_cases
from segpipe.dataset.case_files import read_case_instances, read_case_label
from segpipe.dataset.casework.mapping import map_cases
from segpipe.dataset.split import read_split
from segpipe.evaluation.matching import InstanceMatch
from segpipe.evaluation.measures.metrics import dice
from segpipe.evaluation.scores import (
    LOW_CEILING,
    match_structures,
    mean_known,
    sum_instances,
)
from segpipe.images.grid import Grid
from segpipe.images.instances import (
    distance_levels,
    find_targets,
    learned_levels,
    lines_between,
)
from segpipe.images.volume import LabelMap
from segpipe.project.paths import Paths
from segpipe.segmenter.compute import Compute
from segpipe.segmenter.inference.inference import Inference
from segpipe.segmenter.inference.target import label_by_target
from segpipe.segmenter.preprocessing.classes import classes_of
from segpipe.segmenter.preprocessing.labels import resample_classes, resample_instances
from segpipe.segmenter.rules.postprocessing import apply_rules
from segpipe.segmenter.segmenter import Segmenter
from segpipe.segmenter.spec import SegmenterSpec

# All tiles agree on a reference, so their size and weights change nothing.
INFERENCE = Inference(
    overlap_fraction=0.25,
    blending="gaussian",
    memory_gb=1.0,
    mirror=False,
    compute=Compute(device=torch.device("cpu"), precision="fp32", threads=1),
)
DECIDING = {
    "plan",
    "separation",
    "postprocessing",
    "target",
    "instances",
    "slice_axis",
}
STEPS = ("resampling", "separating lines", "post-processing")
MENDS = {
    "resampling": "set plan.spacing finer",
    "separating lines": "set plan.spacing finer, so that lines are thinner",
    "post-processing": "set postprocessing: none in the section of the model",
}


@dataclass(frozen=True)
class Ceiling:
    """The best figures of a model on the test cases.

    Attributes:
        model: Name of the model.
        dice: Mean Dice over cases and structures, after each of STEPS.
        structures: Mean Dice of each structure after all steps.
        instance_f1: F1 of instances after all steps; NaN without instance ids.
        merges: Number of predictions that hold several instances, after all steps.
    """

    model: str
    dice: tuple[float, ...]
    structures: dict[str, float]
    instance_f1: float
    merges: int

    def lines(self) -> list[str]:
        """The ceiling in words; each low figure with its cause and the mend."""
        losses = np.diff([1.0, *self.dice])
        parts = ", ".join(
            f"{step} {loss:+.3f}" for step, loss in zip(STEPS, losses, strict=True)
        )
        rows = [f"{self.model}: Dice at most {self.dice[-1]:.3f} ({parts})"]
        rows += [f"  {name}: {value:.3f}" for name, value in self.structures.items()]
        if not math.isnan(self.instance_f1):
            rows.append(f"  instance F1 at most {self.instance_f1:.3f}")
        if self.dice[-1] < LOW_CEILING:
            cause = STEPS[int(losses.argmin())]
            rows.append(f"  Dice is limited by {cause}: {MENDS[cause]}")
        if self.instance_f1 < LOW_CEILING:
            rows.append(f"  instances are limited by {self._cause}")
        return rows

    @property
    def _cause(self) -> str:
        """What limits the instances."""
        if self.merges:
            return (
                f"{self.merges} merges of touching ones: lines separate them "
                "(weigh.separate_touching: true), across slices those of a 3-D network"
            )
        return (
            "their size: a line of one voxel from each leaves too little of the small "
            "ones, and what it takes grows back in part"
        )


@dataclass(frozen=True, eq=False)
class _Case:
    """Figures of one case: Dice by step and structure, and matched instances."""

    dice: list[list[float]]
    matches: dict[str, InstanceMatch]


def find_ceilings(
    specs: Mapping[str, SegmenterSpec],
    *,
    instance_iou: float,
    paths: Paths,
) -> dict[str, Ceiling]:
    """Send the references of the test cases through all that a prediction meets.

    They are resampled to the grid of the network, separated by lines, cut into tiles,
    blended, resampled back, post-processed, and compared with themselves. No network
    runs.

    Args:
        specs: Spec of each model, by its name.
        instance_iou: IoU above which two instances match.
        paths: The project's folders.

    Returns:
        The ceiling of each model.

    Raises:
        DataError: If the stages verify and split have not run.
    """
    cases = read_cases(paths.artifacts)
    found = map_cases(
        partial(
            _compare,
            cases.model_copy(update={"cases": ()}),
            specs,
            instance_iou,
            paths,
        ),
        [cases[name] for name in read_split(paths.artifacts).test],
        workers=1,
        name=lambda case: case.name,
        describe="ceiling",
    )
    return {
        model: _summed(model, [of_models[model] for of_models in found], cases)
        for model in specs
    }


def _compare(
    cases: CaseList,
    specs: Mapping[str, SegmenterSpec],
    instance_iou: float,
    paths: Paths,
    case: Case,
) -> dict[str, _Case]:
    """Compare the reference of a case with itself after each of STEPS, by model."""
    label = read_case_label(paths.data, cases, case)
    drawn = read_case_instances(paths.data, cases, case)
    known = np.ones(label.array.shape, dtype=bool)
    if cases.ignore is not None:
        known = label.array != cases.ignore
    legend, found = cases.legend, dict[str, _Case]()
    alike: dict[str, _Case] = {}  # by what decides, which models often share
    for model, spec in specs.items():
        key = spec.model_dump_json(include=DECIDING)
        if key in alike:
            found[model] = alike[key]
            continue
        target, lined = _targets(label, drawn, spec)
        made, ids = _labels(target, lined, spec, label.grid)
        found[model] = alike[key] = _Case(
            [
                [
                    dice(
                        legend.mask(label.array, number) & known,
                        legend.mask(array, number) & known,
                    )
                    for number in range(1, len(legend.structures))
                ]
                for array in made
            ],
            match_structures(
                cases,
                label,
                drawn,
                made[-1],
                ids,
                iou_threshold=instance_iou,
            ),
        )
    return found


def _labels(
    target: np.ndarray, lined: np.ndarray, spec: SegmenterSpec, grid: Grid
) -> tuple[list[np.ndarray], np.ndarray]:
    """The label maps after each of STEPS, none made twice, and the instances."""
    plain = spec.model_copy(update={"postprocessing": ()})
    resampled, inside = label_by_target(plain, target, grid, INFERENCE)
    separated = resampled
    if lined is not target:
        separated, inside = label_by_target(plain, lined, grid, INFERENCE)
    volume = grid.voxel_volume
    corrected = apply_rules(
        separated.array, spec.rules, voxel_volume=volume, legend=spec.plan.legend
    )
    ids = np.zeros(grid.shape, dtype=np.int32)
    if not spec.outputs.overlap:
        ids = Segmenter(plain, ()).number(corrected, inside, grid)
    return [resampled.array, separated.array, corrected], ids


def _targets(
    label: LabelMap, drawn: LabelMap | None, spec: SegmenterSpec
) -> tuple[np.ndarray, np.ndarray]:
    """The reference on the prepared grid, without lines and with them.

    They are the same array if there are no lines, as where levels are learned.
    """
    plan, separation = spec.plan, spec.separation
    turn = label.grid.to_canonical
    shape = label.grid.reoriented(turn).shape_at(plan.spacing)
    classes = turn.apply(classes_of(label.array, plan))
    target = resample_classes(classes, shape)
    if separation is None and spec.target != "distance":
        return target, target
    ids = None
    if drawn is not None:
        ids = turn.apply(drawn.array).astype(np.int32)
        ids = resample_instances(ids, classes, target)
    found, line = find_targets(target, ids), spec.outputs.line
    if separation is None or line is None:
        levels = distance_levels(
            target,
            found,
            spacing=plan.spacing,
            dimensions=spec.network.dimensions,
            slice_axis=0 if spec.slice_axis is None else spec.slice_axis,
        )
        learned = learned_levels(target, levels)
        return learned, learned
    lines = lines_between(target, found, separation)
    lines &= target >= 0
    return target, np.where(lines, np.int16(line), target) if lines.any() else target


def _summed(model: str, found: list[_Case], cases: CaseList) -> Ceiling:
    """The means over the test cases."""
    scores = np.array([case.dice for case in found])  # case, step, structure
    instances = sum_instances([case.matches for case in found])
    return Ceiling(
        model=model,
        dice=tuple(mean_known(step.ravel().tolist()) for step in scores.swapaxes(0, 1)),
        structures={
            name: mean_known(scores[:, -1, n].tolist())
            for n, name in enumerate(cases.structures[1:])
        },
        instance_f1=math.nan if instances is None else instances["f1"],
        merges=0 if instances is None else instances["merges"],
    )
