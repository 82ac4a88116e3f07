"""Post-processing: what is put right in a label map, structure by structure."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Integer
from scipy import ndimage

from segpipe.images.instances import components
from segpipe.project.documents import Document, Unit

Labels = Integer[np.ndarray, "i j k"]
Box = tuple[slice, slice, slice]
MARGIN = 0.002  # of mean Dice: docs/decisions/0008-postprocessing.md


class StructureRule(Document):
    """What is done to one structure of a label map.

    Attributes:
        keep_largest: Keep its largest connected component only.
        smallest_mm3: Drop its components smaller than this; in voxels of the image if
            it has no physical spacing; 0 drops none.
        fill_holes: Give it the background that it encloses.
    """

    keep_largest: bool
    smallest_mm3: float
    fill_holes: bool

    @property
    def drops(self) -> bool:
        """Whether it takes anything away."""
        return self.keep_largest or self.smallest_mm3 > 0

    def words(self, unit: Unit) -> str:
        """What it does, for people."""
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
    """What validation cases chose for a structure.

    Attributes:
        rule: The rule.
        dice_before: Mean over the cases without any rule; NaN if none holds it.
        dice_after: With the rule.
    """

    rule: StructureRule
    dice_before: float
    dice_after: float


def apply_rules(
    label: Labels, rules: Mapping[int, StructureRule], *, voxel_volume: float
) -> Labels:
    """Drop components of all structures, then fill the holes of all.

    Components touch over corners, too. A hole is background that reaches the border of
    the volume (of the image, in 2-D) only through the structure, and that the structure
    itself borders on. What a rule drops becomes background; only background is filled.

    Args:
        label: Values of the structures; 0 is the background.
        rules: By value; a structure without a rule stays as it is.
        voxel_volume: Of the label map's grid, in mm³; in px³ without physical spacing.

    Returns:
        A new label map, or the same one if no rule does anything.
    """
    if not any(rule.drops or rule.fill_holes for rule in rules.values()):
        return label
    return _apply(label, rules, voxel_volume, _open_axes(label.shape))


def _open_axes(shape: tuple[int, ...]) -> list[int]:
    """The axes along which a border is one: a 2-D image has none along its k."""
    return [axis for axis, size in enumerate(shape) if size > 1]


def _apply(
    label: Labels,
    rules: Mapping[int, StructureRule],
    voxel_volume: float,
    open_axes: list[int],
) -> Labels:
    """``apply_rules`` to a volume or a part of one that holds the structures whole."""
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
    """The bounding box of each structure that there is, in the order of the values."""
    boxes = enumerate(ndimage.find_objects(label), start=1)
    return {value: box for value, box in boxes if box is not None}


def _dropped(
    mask: Bool[np.ndarray, "i j k"], rule: StructureRule, voxel_volume: float
) -> Bool[np.ndarray, "i j k"]:
    """The components that a rule drops; the first of the largest always stays.

    A rule that could drop all would turn a structure that was found in part into one
    that was missed.
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
    """Voxels of each number, 0 included; plane by plane, as bincount copies."""
    n = int(found.max()) + 1
    total = np.zeros(n, dtype=np.int64)
    for plane in found:
        total += np.bincount(plane.ravel(), minlength=n)
    return total


def _holes(
    label: Labels, value: int, open_axes: list[int]
) -> Bool[np.ndarray, "i j k"]:
    """Background that a structure encloses and borders on.

    What lies within another structure inside it is left to that one.
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
    """The volume of the smallest drawn component of each structure; None without any.

    Of sparsely annotated references these are pieces: too small, so little is dropped.

    Args:
        references: Class indices, negative where not annotated; read one at a time.
        n_structures: Background left out.
        voxel_volume: Of their grid, in its unit cubed.
    """
    smallest: list[float | None] = [None] * n_structures
    for reference in references:
        for value, box in _boxes(np.asarray(reference)).items():
            found = components(reference[box] == value, connectivity="all")
            volume = float(_sizes(found)[1:].min() * voxel_volume)
            before = smallest[value - 1]
            smallest[value - 1] = volume if before is None else min(before, volume)
    return tuple(smallest)


def candidates(smallest_mm3: float | None) -> tuple[StructureRule, ...]:
    """The rules that are tried for a structure: nothing first, then what takes more.

    Args:
        smallest_mm3: Volume of its smallest drawn component, if there is any.
    """
    sizes = () if smallest_mm3 is None else (smallest_mm3 / 2, smallest_mm3)
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
) -> tuple[Choice, ...]:
    """For each structure the candidate with the best mean Dice, if it is worth it.

    A candidate must beat doing nothing by more than MARGIN. Structures are tried one
    by one; a case that holds a structure on neither side does not count for it.

    Args:
        references: Class indices, negative where not annotated; read twice, one at a
            time.
        predictions: Class indices on the same grids; read once, one at a time.
        n_structures: Background left out.
        voxel_volume: Of these grids, in their unit cubed.

    Returns:
        One a structure, in the order of the classes.
    """
    smallest = smallest_components(
        references, n_structures=n_structures, voxel_volume=voxel_volume
    )
    tried = tuple(candidates(volume) for volume in smallest)
    scores = [
        _scores(reference, prediction, tried, voxel_volume)
        for reference, prediction in zip(references, predictions, strict=True)
    ]
    return tuple(
        _best(rules, np.array([case[n] for case in scores]).reshape(-1, len(rules)))
        for n, rules in enumerate(tried)
    )


def _scores(
    reference: Labels,
    prediction: Labels,
    tried: tuple[tuple[StructureRule, ...], ...],
    voxel_volume: float,
) -> list[list[float]]:
    """Dice of each structure of a case under each rule that is tried for it."""
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
    """Dice of a structure within a box that holds its whole prediction.

    Args:
        reference: In the box.
        prediction: In the box.
        value: Of the structure.
        drawn: Its voxels in the reference, also those outside the box.
    """
    found = (prediction == value) & (reference >= 0)
    total = drawn + int(np.count_nonzero(found))
    both = int(np.count_nonzero(found & (reference == value)))
    return 2 * both / total if total else math.nan


def _best(
    rules: tuple[StructureRule, ...], scores: Float64[np.ndarray, "case candidate"]
) -> Choice:
    """The first of the best candidates, or the first of all: nothing.

    Its mean gain must exceed the margin and its own standard error over the cases: of
    few cases one alone must not decide. A single case decides nothing.
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
    # 1.01: where one case alone gains, its mean gain is just its standard error.
    sure = gain > np.maximum(MARGIN, 1.01 * doubt)
    best = int(np.where(sure, gain, 0).argmax())
    return Choice(rules[best], float(means[0]), float(means[best]))


def combine_rules(
    folds: Sequence[tuple[StructureRule, ...]],
) -> tuple[StructureRule, ...]:
    """The rules of an ensemble: of each structure's only what all folds chose.

    Args:
        folds: The rules of each fold, one a structure, or none at all.

    Returns:
        One a structure; none if a fold has none.
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
