"""Post-processing: rules that correct a label map, structure by structure."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float64, Integer
from pydantic import NonNegativeFloat
from scipy import ndimage

from segpipe.images.instances import components
from segpipe.images.values import Legend
from segpipe.project.documents import Document, Unit

Labels = Integer[np.ndarray, "i j k"]
Box = tuple[slice, slice, slice]
MARGIN = 0.002  # in mean Dice: docs/decisions/0008-postprocessing.md


class StructureRule(Document):
    """How one structure of a label map is corrected.

    Attributes:
        keep_largest: Whether only its largest connected component is kept.
        smallest_mm3: Smaller components are dropped; in voxels of the image if it has
            no physical spacing; 0 drops none.
        fill_holes: Whether background that it encloses becomes part of it.
    """

    keep_largest: bool
    smallest_mm3: NonNegativeFloat
    fill_holes: bool

    @property
    def drops(self) -> bool:
        """Whether the rule can remove voxels."""
        return self.keep_largest or self.smallest_mm3 > 0

    def words(self, unit: Unit) -> str:
        """The rule in words."""
        size = f"{self.smallest_mm3:.4g} {'mm³' if unit == 'mm' else 'voxels'}"
        parts = [
            "keep the largest component" if self.keep_largest else "",
            f"drop components below {size}" if self.smallest_mm3 > 0 else "",
            "fill holes" if self.fill_holes else "",
        ]
        return " and ".join(filter(None, parts)) or "nothing"


NOTHING = StructureRule(keep_largest=False, smallest_mm3=0.0, fill_holes=False)


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


def apply_rules(
    label: Labels,
    rules: Mapping[int, StructureRule],
    *,
    voxel_volume: float,
    legend: Legend | None = None,
) -> Labels:
    """Drop components of all structures, then fill the holes of all.

    Voxels of a component may touch at corners only. A hole is background that reaches
    the border of the volume (of the image, in 2-D) only through the structure, and that
    touches the structure. Dropped voxels become background; only background is filled.

    Args:
        label: Values of the structures; 0 is the background.
        rules: Rule by value, or by number where structures overlap; a structure
            without a rule is not changed.
        voxel_volume: Volume of a voxel in mm³; in px³ without physical spacing.
        legend: The structures, if they may overlap. What one of them loses, those
            inside it lose; what it gains, those around it gain.

    Returns:
        A new label map, or the same one if no rule does anything.
    """
    if not any(rule.drops or rule.fill_holes for rule in rules.values()):
        return label
    open_axes = _open_axes(label.shape)
    if legend is not None and legend.unions is not None:
        return _apply_to_unions(label, rules, legend, voxel_volume, open_axes)
    return _apply(label, rules, voxel_volume, open_axes)


def _apply_to_unions(
    label: Labels,
    rules: Mapping[int, StructureRule],
    legend: Legend,
    voxel_volume: float,
    open_axes: list[int],
) -> Labels:
    """``apply_rules`` to structures that overlap, one after the other."""
    fill = NOTHING.model_copy(update={"fill_holes": True})
    drops = {n: r.model_copy(update={"fill_holes": False}) for n, r in rules.items()}
    fills = {n: fill for n, rule in rules.items() if rule.fill_holes}
    for number, rule in (*drops.items(), *fills.items()):
        before = legend.apart(label, number)
        after = _apply(before, {1: rule}, voxel_volume, open_axes)
        lost, gained = (before == 1) & (after != 1), (before != 1) & (after == 1)
        if lost.any() or gained.any():
            label = legend.corrected(label, number, lost=lost, gained=gained)
    return label


def _open_axes(shape: tuple[int, ...]) -> list[int]:
    """The axes along which the label map has a border: not k of a 2-D image."""
    return [axis for axis, size in enumerate(shape) if size > 1]


def _apply(
    label: Labels,
    rules: Mapping[int, StructureRule],
    voxel_volume: float,
    open_axes: list[int],
) -> Labels:
    """``apply_rules`` to a volume, or to a part of it with the whole structures."""
    result = label.copy()
    boxes = {value: box for value, box in _boxes(label).items() if value in rules}
    for value, box in boxes.items():
        if rules[value].drops:
            part = result[box]  # a view
            part[_dropped(part == value, rules[value], voxel_volume)] = 0
    for value, box in boxes.items():
        if rules[value].fill_holes:
            part = result[box]
            part[_holes(part, value, open_axes)] = value
    return result


def _boxes(label: Labels) -> dict[int, Box]:
    """Bounding box of each structure that is present, in the order of the values."""
    boxes = enumerate(ndimage.find_objects(label), start=1)
    return {value: box for value, box in boxes if box is not None}


def _dropped(
    mask: Bool[np.ndarray, "i j k"], rule: StructureRule, voxel_volume: float
) -> Bool[np.ndarray, "i j k"]:
    """The components that a rule drops; the first of the largest is always kept.

    A rule that drops all of them would turn a structure that was found in part into a
    missed one.
    """
    found = components(mask, connectivity="all")
    sizes = _sizes(found)
    if len(sizes) == 1:
        return np.zeros_like(mask)
    drop = sizes * voxel_volume < rule.smallest_mm3
    drop |= rule.keep_largest
    drop[0] = drop[1 + int(sizes[1:].argmax())] = False
    return np.asarray(drop[found], dtype=bool)


def _sizes(found: Integer[np.ndarray, "i j k"]) -> Integer[np.ndarray, " n"]:
    """Voxels of each number from 0; plane by plane, because bincount copies."""
    n = int(found.max()) + 1
    total = np.zeros(n, dtype=np.int64)
    for plane in found:
        total += np.bincount(plane.ravel(), minlength=n)
    return total


def _holes(
    label: Labels, value: int, open_axes: list[int]
) -> Bool[np.ndarray, "i j k"]:
    """Background that a structure encloses and touches.

    A hole within another, enclosed structure belongs to that one.
    """
    mask = label == value
    around = components(~mask, connectivity="faces")
    inner = np.ones(int(around.max()) + 1, dtype=bool)
    inner[0] = False
    for axis in open_axes:
        for end in (0, -1):
            inner[around.take(end, axis=axis)] = False
    holes = inner[around] & (label == 0)
    if not holes.any():
        return np.zeros_like(mask)
    pieces = components(holes, connectivity="faces")
    bordered = np.zeros(int(pieces.max()) + 1, dtype=bool)
    bordered[pieces[ndimage.binary_dilation(mask)]] = True
    bordered[0] = False
    return np.asarray(bordered[pieces], dtype=bool)


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
        for value, box in _boxes(np.asarray(reference)).items():
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
    sizes = _sizes(found)
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
    boxes, open_axes = _boxes(prediction), _open_axes(prediction.shape)
    scores = []
    for value, rules in enumerate(tried, start=1):
        drawn = int(np.count_nonzero(reference == value))
        if value not in boxes:
            scores.append([0.0 if drawn else math.nan] * len(rules))
            continue
        known, part = reference[boxes[value]], prediction[boxes[value]]
        results = (_apply(part, {value: r}, voxel_volume, open_axes) for r in rules)
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


def combine_rules(
    folds: Sequence[tuple[StructureRule, ...]],
) -> tuple[StructureRule, ...]:
    """Combine the rules of folds: an ensemble keeps only what all of them chose.

    Args:
        folds: Rules of each fold, one per structure, or none at all.

    Returns:
        One rule per structure; none if a fold has none.
    """
    if not all(folds):
        return ()
    return tuple(
        StructureRule(
            keep_largest=all(rule.keep_largest for rule in chosen),
            smallest_mm3=min(rule.smallest_mm3 for rule in chosen),
            fill_holes=all(rule.fill_holes for rule in chosen),
        )
        for chosen in zip(*folds, strict=True)
    )
