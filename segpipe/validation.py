"""Validation: how a segmenter does on whole held-out cases, on the prepared grid."""

from collections.abc import Iterable

import numpy as np

from segpipe.metrics import (
    confusion_matrix,
    dice_of,
    iou_of,
    mean_of,
    pixel_accuracy_of,
)
from segpipe.plan import Plan
from segpipe.sampling import TrainingCase
from segpipe.segmenter import Inference, Segmenter
from segpipe.volume import SLICES

DICE = "validation_dice"
MEANS = (DICE, "validation_iou", "validation_pa")


def validation_names(plan: Plan) -> tuple[str, ...]:
    """The figures: means over structures, and the Dice of each where there are more."""
    structures = plan.structures[1:]
    if len(structures) < 2:
        return MEANS
    return (*MEANS, *(f"{DICE}/{name}" for name in structures))


def validate(
    segmenter: Segmenter, cases: Iterable[TrainingCase], inference: Inference
) -> dict[str, float]:
    """Dice and IoU (mean over cases and structures), PA, and Dice by structure.

    Args:
        segmenter: To try.
        cases: Prepared; read window by window.
        inference: How.

    Returns:
        By ``validation_names``; NaN for what no case holds.
    """
    plan = segmenter.spec.plan
    rows = []
    for case in cases:
        confusion = _compare(segmenter, case, inference)
        dice = dice_of(confusion)[1:]
        means = (mean_of(dice), mean_of(iou_of(confusion)[1:]))
        rows.append([*means, pixel_accuracy_of(confusion), *dice.tolist()])
    figures = [mean_of(np.array(column)) for column in zip(*rows, strict=True)]
    return dict(zip(validation_names(plan), figures, strict=False))


def _compare(
    segmenter: Segmenter, case: TrainingCase, inference: Inference
) -> np.ndarray:
    """The confusion matrix of a case, slab by slab."""
    n_classes = len(segmenter.spec.plan.values)
    confusion = np.zeros((n_classes, n_classes), dtype=np.int64)
    parts = (
        case.image[:, start : start + SLICES]
        for start in range(0, case.image.shape[1], SLICES)
    )
    shape = case.label.shape
    for slab in segmenter.probabilities(parts, shape, inference):
        predicted = slab.values.argmax(1).cpu().numpy()
        reference = case.label[slab.start : slab.start + len(predicted)]
        confusion += confusion_matrix(
            reference, predicted, n_classes=n_classes, ignore=-1
        )
    return confusion
