"""Choice: which rules of post-processing pay, judged on held-out cases."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64, Integer
from scipy import ndimage

from segpipe.images.instances import components
from segpipe.images.values import Legend
from segpipe.segmenter.rules.postprocessing import (
    NOTHING,
    Box,
    Labels,
    StructureRule,
    apply_within,
    count_voxels,
    find_boxes,
    find_open_axes,
)

MARGIN = 0.002  # in mean Dice: docs/decisions/0008-postprocessing.md


@dataclass(frozen=True)
class Choice:
    """Rule that was chosen for a structure on the validation cases.

    Attributes:
        rule: The rule.
        dice_before: Mean Dice over the cases without a rule; NaN if no case has the
            structure.
        dice_after: Mean Dice with the rule.
        whole: Whether a reference shows a whole component of the structure; if none
            does, the rule does nothing.
    """

    rule: StructureRule
    dice_before: float
    dice_after: float
    whole: bool = True


def smallest_components(
    references: Iterable[Labels], *, n_structures: int, voxel_volume: float
) -> tuple[float | None, ...]:
    """Volume of the smallest component of each structure in the references.

    A component that touches a voxel without annotation may go on there: it is left out.

    Args:
        references: Class indices, negative where not annotated; read one at a time.
        n_structures: Number of structures without background.
        voxel_volume: Volume of a voxel, in the grid's unit cubed.

    Returns:
        One volume per structure; None for a structure of which no reference shows a
        whole component.
    """
    smallest: list[float | None] = [None] * n_structures
    for reference in references:
        for value, box in find_boxes(np.asarray(reference)).items():
            if value > n_structures:  # none whose rule is asked for
                continue
            sizes = _whole_sizes(reference[_widened(box)], value)
            if not len(sizes):
                continue
            volume = float(sizes.min() * voxel_volume)
            before = smallest[value - 1]
            smallest[value - 1] = volume if before is None else min(before, volume)
    return tuple(smallest)


def _widened(box: Box) -> Box:
    """The box with one more voxel on each side, as far as the volume reaches."""
    i, j, k = (slice(max(0, part.start - 1), part.stop + 1) for part in box)
    return i, j, k


def _whole_sizes(reference: Labels, value: int) -> Integer[np.ndarray, " n"]:
    """Voxels of the components of a structure that touch no unknown voxel."""
    found = components(reference == value, connectivity="all")
    sizes = count_voxels(found)
    unknown = reference < 0
    if unknown.any():
        near = ndimage.binary_dilation(unknown, np.ones((3, 3, 3)))
        sizes[np.unique(found[near])] = 0
    sizes[0] = 0
    return sizes[sizes > 0]


def candidates(smallest_mm3: float | None) -> tuple[StructureRule, ...]:
    """The rules that are tried for a structure: none first, then stronger ones.

    Args:
        smallest_mm3: Volume of its smallest component in the references; None if none
            shows a whole one, so that nobody knows what a rule would drop or fill.
    """
    if smallest_mm3 is None:
        return (NOTHING,)
    sizes = (smallest_mm3 / 2, smallest_mm3)
    drops = [(False, 0.0), *((False, size) for size in sizes), (True, 0.0)]
    return tuple(
        StructureRule(keep_largest=largest, smallest_mm3=size, fill_holes=fill)
        for fill in (False, True)
        for largest, size in drops
    )


def choose_rules(
    references: Sequence[Labels],
    predictions: Iterable[Labels],
    *,
    n_structures: int,
    voxel_volume: float,
    legend: Legend | None = None,
) -> tuple[Choice, ...]:
    """Choose for each structure the rule with the best mean Dice on held-out cases.

    A rule must beat doing nothing by more than MARGIN. Structures are tried one by one;
    a case without the structure in reference and prediction does not count for it. A
    structure of which no reference shows a whole component, as where a few slices are
    annotated, has no rule.

    Args:
        references: Class indices, negative where not annotated; read twice, one at a
            time.
        predictions: Class indices on the same grids; read once, one at a time, or not
            at all if no structure can have a rule.
        n_structures: Number of structures without background.
        voxel_volume: Volume of a voxel of these grids, in their unit cubed.
        legend: The structures by class indices, if they may overlap.

    Returns:
        One choice per structure, in the order of the structures.
    """
    if legend is not None and legend.unions is not None:
        smallest = tuple(
            smallest_components(
                (legend.apart(reference, number) for reference in references),
                n_structures=1,
                voxel_volume=voxel_volume,
            )[0]
            for number in range(1, n_structures + 1)
        )
    else:
        legend = None
        smallest = smallest_components(
            references, n_structures=n_structures, voxel_volume=voxel_volume
        )
    whole = [volume is not None for volume in smallest]
    if not any(whole):
        return (Choice(NOTHING, math.nan, math.nan, whole=False),) * n_structures
    tried = tuple(candidates(volume) for volume in smallest)
    scores = [
        _scores(reference, prediction, tried, voxel_volume, legend)
        for reference, prediction in zip(references, predictions, strict=True)
    ]
    return tuple(
        replace(
            _best(
                rules, np.array([case[n] for case in scores]).reshape(-1, len(rules))
            ),
            whole=whole[n],
        )
        for n, rules in enumerate(tried)
    )


def _scores(
    reference: Labels,
    prediction: Labels,
    tried: tuple[tuple[StructureRule, ...], ...],
    voxel_volume: float,
    legend: Legend | None,
) -> list[list[float]]:
    """Dice of each structure of a case with each rule that is tried for it."""
    if legend is not None:
        return [
            _scores(
                legend.apart(reference, number),
                legend.apart(prediction, number),
                (rules,),
                voxel_volume,
                None,
            )[0]
            for number, rules in enumerate(tried, start=1)
        ]
    boxes, open_axes = find_boxes(prediction), find_open_axes(prediction.shape)
    scores = []
    for value, rules in enumerate(tried, start=1):
        drawn = int(np.count_nonzero(reference == value))
        if value not in boxes:
            scores.append([0.0 if drawn else math.nan] * len(rules))
            continue
        known, part = reference[boxes[value]], prediction[boxes[value]]
        results = (
            apply_within(part, {value: r}, voxel_volume, open_axes) for r in rules
        )
        scores.append([_dice(known, result, value, drawn) for result in results])
    return scores


def _dice(reference: Labels, prediction: Labels, value: int, drawn: int) -> float:
    """Dice of a structure, from a box that holds its whole prediction.

    Args:
        reference: Reference in the box.
        prediction: Prediction in the box.
        value: Value of the structure.
        drawn: Voxels of the structure in the reference, also outside the box.
    """
    found = (prediction == value) & (reference >= 0)
    total = drawn + int(np.count_nonzero(found))
    both = int(np.count_nonzero(found & (reference == value)))
    return 2 * both / total if total else math.nan


def _best(
    rules: tuple[StructureRule, ...], scores: Float64[np.ndarray, "case candidate"]
) -> Choice:
    """The first of the best candidates; without one, the first, which does nothing.

    The mean gain must exceed the margin and its own standard error over the cases, so
    that one of few cases cannot decide alone. A single case decides nothing.
    """
    counted = (~np.isnan(scores)).sum(axis=0)
    means = np.where(counted > 0, np.nansum(scores, axis=0), np.nan)
    means /= np.maximum(counted, 1)
    if np.isnan(means[0]):
        return Choice(rules[0], math.nan, math.nan)
    gains = scores - scores[:, :1]
    gains = gains[~np.isnan(gains).any(axis=1)]
    gain = gains.mean(axis=0)
    doubt = gains.std(axis=0, ddof=1) / math.sqrt(len(gains)) if len(gains) > 1 else 1
    # 1.01, because a gain in one case alone equals its standard error.
    sure = gain > np.maximum(MARGIN, 1.01 * doubt)
    best = int(np.where(sure, gain, 0).argmax())
    return Choice(rules[best], float(means[0]), float(means[best]))
