"""Validate: figures of a network on whole held-out cases."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int16, Integer

from segpipe.evaluation.matching import Overlap, average_precision, overlap_instances
from segpipe.evaluation.measures.metrics import (
    confusion_matrix,
    dice_of,
    iou_of,
    mean_of,
    pixel_accuracy_of,
)
from segpipe.images.grid import Grid
from segpipe.images.instances import find_targets
from segpipe.images.volume import SLICES
from segpipe.segmenter.compute import Stopwatch
from segpipe.segmenter.inference.inference import Inference
from segpipe.segmenter.plan import Plan
from segpipe.segmenter.rules.instances import InstanceRule, number_instances
from segpipe.segmenter.segmenter import Segmenter
from segpipe.segmenter.spec import SegmenterSpec
from segpipe.training.patches.cases import TrainingCase
from segpipe.training.record import DICE, PRECISION
from segpipe.training.task.build import Task
from segpipe.training.task.section import JudgedBy

MEANS = (DICE, "validation_iou", "validation_pa")
FIGURE: dict[JudgedBy, str] = {"dice": DICE, "instances": PRECISION}
# Of the instances of an epoch, before the training chooses their rules at its end.
INSIDE = InstanceRule(seeds="probability", threshold=0.7, smallest_mm3=0)
DEEP = InstanceRule(seeds="depth", threshold=0.5, smallest_mm3=0)


def validation_names(plan: Plan, judged_by: JudgedBy) -> tuple[str, ...]:
    """Names of the figures: means, and the Dice of each of several structures."""
    structures = plan.structures[1:] if len(plan.structures) > 2 else ()
    more = (PRECISION,) if judged_by == "instances" else ()
    return (*MEANS, *(f"{DICE}/{name}" for name in structures), *more)


def validate(
    segmenter: Segmenter,
    cases: Iterable[TrainingCase],
    inference: Inference,
    judged_by: JudgedBy = "dice",
) -> dict[str, float]:
    """Segment whole cases on the prepared grid and compare them with their labels.

    Only voxels that the model may know count: with sparse annotation, the annotated.

    Args:
        segmenter: The segmenter to validate.
        cases: Prepared cases; read window by window, or as a whole for instances.
        inference: Tiles, blending, memory and compute.
        judged_by: Whether the instances are judged, too.

    Returns:
        Figures by ``validation_names``: Dice and IoU, means over cases and structures;
        pixel accuracy; Dice of each structure. As in evaluate, a structure that is
        found where there is none has Dice 0, and one that is absent from a case and its
        prediction does not count. NaN if nothing counts.
    """
    found, overlaps = [], list[Overlap]()
    for case in cases:
        if judged_by == "instances":
            seen = predict_case(segmenter, case, inference)
            found.append(_confusion(segmenter.spec, case.label, seen.classes))
            overlaps += _usual_overlaps(segmenter.spec, case, seen)
        else:
            found.append(_compare(segmenter, case, inference))
    if not found:
        return {}
    table = segmenter.spec.plan.legend.table
    dice = np.array([dice_of(confusion, table)[1:] for confusion in found])
    iou = [iou_of(confusion, table)[1:] for confusion in found]
    figures = [
        mean_of(dice.reshape(-1)),
        mean_of(np.concatenate(iou)),
        mean_of(np.array([pixel_accuracy_of(confusion) for confusion in found])),
        *(mean_of(column) for column in dice.T if dice.shape[1] > 1),
    ]
    if judged_by == "instances":
        figures.append(average_precision(overlaps))
    names = validation_names(segmenter.spec.plan, judged_by)
    return dict(zip(names, figures, strict=True))


def usual_inference(task: Task) -> Inference:
    """Settings with which validation cases are segmented."""
    return Inference(
        overlap_fraction=task.params.validation_overlap_fraction,
        blending="gaussian",
        memory_gb=task.patch.memory_gb,
        mirror=False,
        compute=task.compute,
    )


def find_doubts(task: Task) -> tuple[str, ...]:
    """Sentences about what the validation cases cannot judge; none if they can."""
    shown = {value for case in task.validation for value in case.places}
    if task.validation and task.params.judged_by == "instances" and not can_judge(task):
        return (
            "no validation case has instance ids: the fold is judged only by instances "
            "found where there are none",
        )
    names = enumerate(task.plan.structures[1:], start=1)
    missing = [name for value, name in names if value not in shown]
    if not task.validation:
        return ("the fold has no validation case: it is not judged",)
    if len(missing) == len(task.plan.structures) - 1:
        return (
            "no validation case has an annotated structure: the fold is judged only by "
            "structures found where there are none",
        )
    if missing:
        return (
            f"no validation case has {', '.join(missing)}: it is judged only where it "
            "is found and is not there",
        )
    return ()


def can_judge(task: Task) -> bool:
    """Whether a validation case has an annotated structure, or instances if asked."""
    if task.params.judged_by == "instances":
        return any(instances_of(case).any() for case in task.validation)
    return any(set(case.places) - {0} for case in task.validation)


def _compare(
    segmenter: Segmenter, case: TrainingCase, inference: Inference
) -> np.ndarray:
    """Confusion matrix of a case, summed slab by slab."""
    n_classes = len(segmenter.spec.plan.values)
    confusion = np.zeros((n_classes, n_classes), dtype=np.int64)
    start = 0
    for predicted, _ in _predict(segmenter, case, inference, inside=False):
        reference = case.label[start : start + len(predicted)]
        confusion += _confusion(segmenter.spec, reference, predicted)
        start += len(predicted)
    return confusion


def _confusion(
    spec: SegmenterSpec, reference: np.ndarray, predicted: np.ndarray
) -> np.ndarray:
    count = len(spec.plan.values)
    return confusion_matrix(reference, predicted, n_classes=count, ignore=-1)


def _predict(
    segmenter: Segmenter, case: TrainingCase, inference: Inference, *, inside: bool
) -> Iterator[tuple[Int16[np.ndarray, "n j k"], np.ndarray | None]]:
    """Predict a case slab by slab along i: classes, and what instances need."""
    outputs = segmenter.spec.outputs
    shape = case.label.shape
    finder, near = segmenter.finder(inference), None
    if finder is not None:
        near = finder.find(
            _parts(case),
            shape,
            inference,
            slices_at=0,
            backwards=False,
            stopwatch=Stopwatch(),
        )
    for slab in segmenter.probabilities(_parts(case), shape, inference, near=near):
        classes = outputs.decode(slab.values)
        own = outputs.inside(slab.values, classes).cpu().numpy() if inside else None
        yield classes.cpu().numpy(), own


def _parts(case: TrainingCase) -> Iterator[np.ndarray]:
    """The slices of a case, along i."""
    for start in range(0, case.image.shape[1], SLICES):
        yield case.image[:, start : start + SLICES]


@dataclass(frozen=True, eq=False)
class Predicted:
    """What a segmenter predicts for a prepared case, on the prepared grid.

    Attributes:
        classes: Class of each voxel.
        inside: Probability of its structure, without contact; or its expected depth.
    """

    classes: Int16[np.ndarray, "i j k"]
    inside: Float[np.ndarray, "i j k"]


def predict_case(
    segmenter: Segmenter, case: TrainingCase, inference: Inference
) -> Predicted:
    """Predict the classes of a case, and what its instances are found by."""
    parts = list(_predict(segmenter, case, inference, inside=True))
    inside = [own for _, own in parts if own is not None]
    return Predicted(np.concatenate([p for p, _ in parts]), np.concatenate(inside))


def instances_of(case: TrainingCase) -> Integer[np.ndarray, "i j k"]:
    """The instance ids of a case that a model may know; 0 where there are none."""
    if case.drawn is None:
        return np.zeros(case.label.shape, dtype=np.int32)
    return find_targets(np.asarray(case.label), np.asarray(case.drawn))


def overlaps_by_structure(
    spec: SegmenterSpec,
    case: TrainingCase,
    classes: Int16[np.ndarray, "i j k"],
    inside: Float[np.ndarray, "i j k"],
    rule: InstanceRule,
) -> list[Overlap]:
    """Overlap of the instances of each structure that one rule makes of a case."""
    plan = spec.plan
    values = tuple(range(1, len(plan.values)))
    shape: tuple[int, int, int] = classes.shape
    found = number_instances(
        classes,
        inside,
        grid=Grid.from_spacing(shape, plan.spacing, plan.unit),
        values=values,
        rules=(rule,) * len(values),
        separation=spec.lines,
    )
    owners = np.zeros(int(found.max()) + 1, dtype=np.int16)
    owners[found[classes > 0]] = classes[classes > 0]
    owner, drawn = owners[found], instances_of(case)
    label = np.asarray(case.label)
    return [
        overlap_instances(
            np.where(label == value, drawn, 0),
            np.where(owner == value, found, 0),
            ignore=label < 0,
        )
        for value in values
    ]


def _usual_overlaps(
    spec: SegmenterSpec, case: TrainingCase, seen: Predicted
) -> list[Overlap]:
    """Overlaps of a case by the usual rule, of structures that have instances."""
    rule = DEEP if spec.target == "distance" else INSIDE
    found = overlaps_by_structure(spec, case, seen.classes, seen.inside, rule)
    return [one for one in found if one.n_reference]
