"""Scores: figures of a structure in a case, and means over cases and structures.

No failure improves any of them.
"""

import math
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64, Integer
from scipy import ndimage

from segpipe.dataset.case import CaseList
from segpipe.evaluation.matching import (
    IOU_STEPS,
    InstanceMatch,
    match_instances,
    sum_matches,
)
from segpipe.evaluation.measures import metrics
from segpipe.evaluation.measures.surfaces import surface_dice
from segpipe.images.borders import number_from_one
from segpipe.images.values import Legend
from segpipe.images.volume import LabelMap
from segpipe.project.documents import Unit

Row = dict[str, Any]
LOW_CEILING = 0.95  # a lower figure of the reference itself is worth a warning
POLICY = (
    "All figures are taken on the original grid, without voxels that nobody annotated. "
    "A structure absent from reference and prediction does not count (empty). One that "
    "is missed altogether, or predicted where there is none, or whose prediction is "
    "missing, counts as failed: Dice, IoU and surface Dice 0, and for distances the "
    "diagonal of the image. So a failure never improves a mean."
)


def compare(
    reference: Bool[np.ndarray, "i j k"],
    prediction: Bool[np.ndarray, "i j k"],
    *,
    spacing: tuple[float, float, float],
    voxel_volume: float,
    surface_tolerance: float,
    unit: Unit,
) -> Row:
    """Figures of one structure in one case, by the policy.

    Args:
        reference: Where the structure is.
        prediction: Where it was predicted, on the same grid.
        spacing: Spacing of the grid.
        voxel_volume: Volume of a voxel in the unit cubed.
        surface_tolerance: Tolerance of surface Dice, in the unit.
        unit: Unit of lengths; the names of figures end in it.

    Returns:
        Figures by name; NaN where a figure is not defined.
    """
    sizes = int(reference.sum()), int(prediction.sum())
    both = int((reference & prediction).sum())
    empty = sizes == (0, 0)
    failed = not empty and both == 0
    nothing, worst = math.nan, 0.0
    row: Row = {
        "failed": failed,
        "dice": metrics.dice(reference, prediction),
        "iou": metrics.iou(reference, prediction),
        "precision": both / sizes[1] if sizes[1] else (nothing if empty else worst),
        "recall": both / sizes[0] if sizes[0] else (nothing if empty else worst),
    }
    row["f1"] = row["dice"]  # the same number for two masks
    if 0 in sizes:
        extent = [
            (n - 1) * s for n, s in zip(reference.shape, spacing, strict=True) if n > 1
        ]
        row[f"hd95_{unit}"] = nothing if empty else math.hypot(*extent)
        row["surface_dice"] = nothing if empty else worst
    else:
        distances = metrics.surface_distances(reference, prediction, spacing=spacing)
        row[f"hd95_{unit}"] = distances.hausdorff(95.0)
        row["surface_dice"] = surface_dice(
            reference, prediction, spacing=spacing, tolerance=surface_tolerance
        )
    name, size = ("ml", voxel_volume / 1000) if unit == "mm" else ("px", 1.0)
    row[f"reference_{name}"] = sizes[0] * size
    row[f"predicted_{name}"] = sizes[1] * size
    row["volume_error"] = (sizes[1] - sizes[0]) / sizes[0] if sizes[0] else nothing
    return row


def summarize(rows: list[Row], unit: Unit) -> dict[str, Any]:
    """Means over cases and structures, with the numbers counted, empty and failed."""
    counted = [row for row in rows if not math.isnan(row["dice"])]
    summary: dict[str, Any] = {
        "n": len(counted),
        "n_empty": len(rows) - len(counted),
        "n_failed": sum(row["failed"] for row in rows),
    }
    for name in (
        "dice",
        "iou",
        "precision",
        "recall",
        "f1",
        f"hd95_{unit}",
        "surface_dice",
    ):
        summary[f"{name}_mean"] = mean_known([row[name] for row in counted])
    errors = [row["volume_error"] for row in counted]
    summary["volume_error_mean"] = mean_known(errors)
    summary["volume_error_absolute_mean"] = mean_known([abs(error) for error in errors])
    summary["dice_worst"] = min((row["dice"] for row in counted), default=math.nan)
    return summary


def mean_known(values: list[float]) -> float:
    """Mean of the values that are not NaN; NaN if there are none."""
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def pool(
    confusion: Int64[np.ndarray, "classes classes"], legend: Legend
) -> dict[str, Any]:
    """Figures of all test voxels together, from their confusion matrix.

    Pixel accuracy and the frequency-weighted IoU are those of the classes; all others
    are those of the background and the structures.
    """
    table = legend.table
    by_structure = {
        "dice": metrics.dice_of(confusion, table),
        "iou": metrics.iou_of(confusion, table),
        "precision": metrics.precision_of(confusion, table),
        "recall": metrics.recall_of(confusion, table),
    }
    return {
        "pixel_accuracy": metrics.pixel_accuracy_of(confusion),
        "mean_pixel_accuracy": metrics.mean_of(by_structure["recall"]),
        "mean_iou": metrics.mean_of(by_structure["iou"]),
        "frequency_weighted_iou": metrics.frequency_weighted_iou_of(confusion),
        **{
            f"{figure}_dataset": dict(
                zip(legend.structures, values.tolist(), strict=True)
            )
            for figure, values in by_structure.items()
        },
    }


def match_structures(
    cases: CaseList,
    label: LabelMap,
    drawn: LabelMap | None,
    predicted: Integer[np.ndarray, "i j k"],
    found: Integer[np.ndarray, "i j k"],
    *,
    iou_threshold: float,
) -> dict[str, InstanceMatch]:
    """Match annotated instances with those of the prediction, by structure.

    Args:
        cases: The data set.
        label: The reference.
        drawn: Instance ids of the reference; without them nothing is matched. There are
            none where structures overlap.
        predicted: The prediction on the same grid, in the values of the data set.
        found: The predicted instance ids; 0 for no instance.
        iou_threshold: IoU above which two instances match.
    """
    if drawn is None:
        return {}
    unknown = label.array == cases.ignore if cases.ignore is not None else None
    found, _ = number_from_one(found)
    owners = np.zeros(int(found.max()) + 1, dtype=predicted.dtype)
    owners[found[predicted != 0]] = predicted[predicted != 0]
    owner = owners[found]  # also where instances grew into the background
    boxes = [
        ndimage.find_objects(np.maximum(values, 0).astype(np.int32))
        for values in (label.array, owner)
    ]
    matches = {}
    for structure, value in zip(cases.structures, cases.values, strict=True):
        if value != 0:
            box = _box_around(
                [one for of in boxes for one in of[value - 1 : value] if one]
            )
            matches[structure] = match_instances(
                np.where(label.array[box] == value, drawn.array[box], 0),
                np.where(owner[box] == value, found[box], 0),
                iou_threshold=iou_threshold,
                ignore=None if unknown is None else unknown[box],
            )
    return matches


def _box_around(boxes: list[tuple[slice, ...]]) -> tuple[slice, ...]:
    """The smallest box around some, so that a structure costs only its own voxels."""
    return tuple(
        slice(
            min((box[axis].start for box in boxes), default=0),
            max((box[axis].stop for box in boxes), default=0),
        )
        for axis in range(3)
    )


def sum_instances(matches: list[dict[str, InstanceMatch]]) -> dict[str, Any] | None:
    """Instance figures of all cases; None if no structure has instances."""
    structures = sorted(
        {
            name
            for match in matches
            for name, found in match.items()
            if found.n_reference
        }
    )
    if not structures:
        return None
    return {
        **_sum_up([match[name] for match in matches for name in structures if match]),
        "structures": {
            name: _sum_up([match[name] for match in matches if match])
            for name in structures
        },
    }


def _sum_up(matches: list[InstanceMatch]) -> dict[str, Any]:
    total = sum_matches(matches)
    return {
        "f1": total.f1,
        "ap": total.average_precision,
        "f1_mean": mean_known([match.f1 for match in matches]),
        "pq": total.panoptic_quality,
        "sq": total.segmentation_quality,
        "rq": total.f1_at(IOU_STEPS[0]),
        "pq_mean": mean_known([match.panoptic_quality for match in matches]),
        "merges": total.merges,
        "splits": total.splits,
        "missed": total.missed,
        "debris": total.debris,
        "n_reference": total.n_reference,
        "n_predicted": total.n_predicted,
        "true_positives": total.true_positives,
        "mean_iou": total.mean_iou,
    }
