"""Post-processing: rules that correct a label map, structure by structure."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Integer
from pydantic import NonNegativeFloat
from scipy import ndimage

from segpipe.images.instances import components
from segpipe.images.values import Legend
from segpipe.project.documents import Document, Unit

Labels = Integer[np.ndarray, "i j k"]
Box = tuple[slice, slice, slice]


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
    open_axes = find_open_axes(label.shape)
    if legend is not None and legend.unions is not None:
        return _apply_to_unions(label, rules, legend, voxel_volume, open_axes)
    return apply_within(label, rules, voxel_volume, open_axes)


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
        after = apply_within(before, {1: rule}, voxel_volume, open_axes)
        lost, gained = (before == 1) & (after != 1), (before != 1) & (after == 1)
        if lost.any() or gained.any():
            label = legend.corrected(label, number, lost=lost, gained=gained)
    return label


def find_open_axes(shape: tuple[int, ...]) -> list[int]:
    """The axes along which the label map has a border: not k of a 2-D image."""
    return [axis for axis, size in enumerate(shape) if size > 1]


def apply_within(
    label: Labels,
    rules: Mapping[int, StructureRule],
    voxel_volume: float,
    open_axes: list[int],
) -> Labels:
    """``apply_rules`` to a volume, or to a part of it with the whole structures."""
    result = label.copy()
    boxes = {value: box for value, box in find_boxes(label).items() if value in rules}
    for value, box in boxes.items():
        if rules[value].drops:
            part = result[box]  # a view
            part[_dropped(part == value, rules[value], voxel_volume)] = 0
    for value, box in boxes.items():
        if rules[value].fill_holes:
            part = result[box]
            part[_holes(part, value, open_axes)] = value
    return result


def find_boxes(label: Labels) -> dict[int, Box]:
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
    sizes = count_voxels(found)
    if len(sizes) == 1:
        return np.zeros_like(mask)
    drop = sizes * voxel_volume < rule.smallest_mm3
    drop |= rule.keep_largest
    drop[0] = drop[1 + int(sizes[1:].argmax())] = False
    return np.asarray(drop[found], dtype=bool)


def count_voxels(found: Integer[np.ndarray, "i j k"]) -> Integer[np.ndarray, " n"]:
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
