"""Validation: figures, post-processing rules and temperature from held-out cases."""

import logging
import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int16, Int64
from scipy.optimize import minimize_scalar
from torch import Tensor
from torch.nn import functional as F

from segpipe.evaluation.metrics import (
    confusion_matrix,
    dice_of,
    iou_of,
    mean_of,
    pixel_accuracy_of,
)
from segpipe.images.volume import SLICES
from segpipe.networks.build import apply_network, margin_of
from segpipe.networks.catalogue import Network
from segpipe.segmenter.plan import Plan
from segpipe.segmenter.postprocessing import StructureRule, choose_rules
from segpipe.segmenter.segmenter import Inference, Segmenter
from segpipe.training.patches.sampling import TrainingCase, draw_batch
from segpipe.training.task import Task, truth_of

log = logging.getLogger(__name__)
DICE = "validation_dice"
MEANS = (DICE, "validation_iou", "validation_pa")
LARGEST = 20.0  # upper bound of the temperature; its inverse is the lower bound
CALIBRATION_PATCHES = 64
CALIBRATION_VOXELS = 4000  # of each patch


def validation_names(plan: Plan) -> tuple[str, ...]:
    """Names of the figures: means, and the Dice of each of several structures."""
    structures = plan.structures[1:]
    if len(structures) < 2:
        return MEANS
    return (*MEANS, *(f"{DICE}/{name}" for name in structures))


def validate(
    segmenter: Segmenter, cases: Iterable[TrainingCase], inference: Inference
) -> dict[str, float]:
    """Segment whole cases on the prepared grid and compare them with their labels.

    Only voxels that the model may know count: with sparse annotation, the annotated.

    Args:
        segmenter: The segmenter to validate.
        cases: Prepared cases; read window by window.
        inference: Tiles, blending, memory and compute.

    Returns:
        Figures by ``validation_names``: Dice and IoU, means over cases and structures;
        pixel accuracy; Dice of each structure. As in evaluate, a structure that is
        found where there is none has Dice 0, and one that is absent from a case and its
        prediction does not count. NaN if nothing counts.
    """
    found = [_compare(segmenter, case, inference) for case in cases]
    if not found:
        return {}
    table = segmenter.spec.plan.legend.table
    dice = np.array([dice_of(confusion, table)[1:] for confusion in found])
    iou = [iou_of(confusion, table)[1:] for confusion in found]
    figures = [
        mean_of(dice.reshape(-1)),
        mean_of(np.concatenate(iou)),
        mean_of(np.array([pixel_accuracy_of(confusion) for confusion in found])),
        *(mean_of(column) for column in dice.T),
    ]
    return dict(zip(validation_names(segmenter.spec.plan), figures, strict=False))


def find_doubts(task: Task) -> tuple[str, ...]:
    """Sentences about what the validation cases cannot judge; none if they can."""
    shown = {value for case in task.validation for value in case.places}
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
    """Whether a validation case has an annotated structure."""
    return any(set(case.places) - {0} for case in task.validation)


def _compare(
    segmenter: Segmenter, case: TrainingCase, inference: Inference
) -> np.ndarray:
    """Confusion matrix of a case, summed slab by slab."""
    n_classes = len(segmenter.spec.plan.values)
    confusion = np.zeros((n_classes, n_classes), dtype=np.int64)
    start = 0
    for predicted in _predict(segmenter, case, inference):
        reference = case.label[start : start + len(predicted)]
        confusion += confusion_matrix(
            reference, predicted, n_classes=n_classes, ignore=-1
        )
        start += len(predicted)
    return confusion


def _predict(
    segmenter: Segmenter, case: TrainingCase, inference: Inference
) -> Iterator[Int16[np.ndarray, "n j k"]]:
    """Predict the classes of a case, slab by slab along i."""
    parts = (
        case.image[:, start : start + SLICES]
        for start in range(0, case.image.shape[1], SLICES)
    )
    for slab in segmenter.probabilities(parts, case.label.shape, inference):
        yield segmenter.spec.outputs.decode(slab.values).cpu().numpy()


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
        (np.concatenate(list(_predict(segmenter, case, inference))) for case in cases),
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


def fit_temperature(
    logits: Float[Tensor, "voxel channels"],
    reference: Int64[Tensor, " voxel"],
    truth: Bool[Tensor, "channels classes"] | None = None,
) -> float:
    """Find the temperature T for which logits / T have minimal cross-entropy.

    Args:
        logits: Logits of voxels that were not trained on.
        reference: Class indices of the voxels.
        truth: Whether a structure (row) holds a class (column), if structures may
            overlap.

    Returns:
        The temperature; above 1 for an overconfident network.

    Source:
        Guo 2017, arXiv:1706.04599, section 4.2 (temperature scaling).
    """
    exact = logits.double()

    def cost(logarithm: float) -> float:
        scaled = exact / math.exp(logarithm)
        if truth is None:
            return float(F.cross_entropy(scaled, reference))
        target = truth.T[reference].double()
        return float(F.binary_cross_entropy_with_logits(scaled, target))

    bound = math.log(LARGEST)
    with torch.inference_mode():
        found = minimize_scalar(cost, bounds=(-bound, bound), method="bounded")
    return math.exp(found.x)


def calibrate(network: Network, task: Task) -> float:
    """Fit the temperature of a network on patches drawn from the validation cases.

    Up to CALIBRATION_VOXELS annotated voxels of each patch are drawn without
    replacement. If the patches show none, the temperature is 1.
    """
    rng = np.random.default_rng([task.seed, task.params.epochs])
    margin = margin_of(network, task.patch.slice_axis)
    network.to(task.compute.device).eval()
    logits, references = [], []
    for _ in range(CALIBRATION_PATCHES if task.validation else 0):
        batch = draw_batch(
            task.validation,
            patch_size=task.patch.patch_size,
            margin=margin,
            class_weights=np.ones_like(task.class_weights),
            foreground_fraction=0.0,
            rngs=[rng],
        )
        known = np.flatnonzero(batch.reference >= 0)
        count = min(CALIBRATION_VOXELS, len(known))
        if not count:
            continue
        chosen = rng.choice(known, count, replace=False)
        image = torch.from_numpy(batch.image).to(task.compute.device)
        with torch.inference_mode(), task.compute.autocast():
            found = apply_network(network, image, task.patch.slice_axis)
        logits.append(found[0].float().cpu().flatten(1).T[chosen])
        references.append(torch.from_numpy(batch.reference).flatten()[chosen])
    if not logits:
        log.warning("calibration: none, as the patches show no annotated voxel")
        return 1.0
    truth = truth_of(task.spec.outputs)
    temperature = fit_temperature(torch.cat(logits), torch.cat(references), truth)
    log.info("calibration: temperature %.3f", temperature)
    return temperature
