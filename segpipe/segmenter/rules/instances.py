"""Instances: how a segmenter tells touching instances apart, structure by structure."""

from collections import Counter
from collections.abc import Sequence
from statistics import fmean
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int32, Integer
from pydantic import NonNegativeFloat
from scipy import ndimage

from segpipe.images.borders import Separation
from segpipe.images.grid import Grid, Spacing
from segpipe.images.instances import (
    components,
    find_instances,
    grow_over_lines,
)
from segpipe.project.documents import Document, Unit
from segpipe.segmenter.rules.seeds import split_by_seeds

Target = Literal["labels", "contact", "distance"]


class InstanceRule(Document):
    """How the instances of one structure are made of its voxels.

    Attributes:
        seeds: ``components``, each connected component is an instance; or a watershed
            divides it, from seeds by ``probability``, by learned ``depth`` or by
            ``distance`` to its outside.
        threshold: Probability or depth above which a voxel is part of a seed; or the
            least distance of two seeds in the data set's unit.
        smallest_mm3: Smaller instances are dropped; in voxels of the image if it has no
            physical spacing; 0 drops none.
    """

    seeds: Literal["components", "probability", "depth", "distance"]
    threshold: NonNegativeFloat
    smallest_mm3: NonNegativeFloat

    def words(self, unit: Unit) -> str:
        """The rule in words."""
        length, volume = ("mm", "mm³") if unit == "mm" else ("px", "voxels")
        how = {
            "components": "connected components",
            "probability": f"watershed from seeds above {self.threshold:.2f}",
            "depth": f"watershed from seeds deeper than {self.threshold:.2f}",
            "distance": f"watershed from seeds {self.threshold:.3g} {length} apart",
        }[self.seeds]
        if not self.smallest_mm3:
            return how
        return f"{how}, of at least {self.smallest_mm3:.4g} {volume}"


WHOLE = InstanceRule(seeds="components", threshold=0, smallest_mm3=0)


def number_instances(
    label: Integer[np.ndarray, "i j k"],
    inside: Float[np.ndarray, "i j k"] | None,
    *,
    grid: Grid,
    values: Sequence[int],
    rules: Sequence[InstanceRule],
    separation: Separation | None,
) -> Int32[np.ndarray, "i j k"]:
    """The instances of a predicted label map, as evaluate counts and segment writes.

    Args:
        label: Predicted structure of each voxel; 0 is background.
        inside: Probability of the structure that is written at each voxel, without what
            it shares with a line of contact; or its expected depth in its instance
            (``Outputs.inside``). Needed by rules with seeds.
        grid: Grid of the label map.
        values: Value of each structure, without background.
        rules: Rule of each structure; none at all for connected components.
        separation: Lines of background between touching instances that were trained, if
            any: instances grow back over them.
    """
    if not rules:
        return find_instances(label, grid=grid, separation=separation)
    result = np.zeros(label.shape, dtype=np.int32)
    boxes = ndimage.find_objects(label.astype(np.int32, copy=False))
    for value, rule in zip(values, rules, strict=True):
        box = boxes[value - 1] if value <= len(boxes) else None
        if box is None:
            continue
        near = None if inside is None else inside[box]
        own = divide(label[box] == value, near, rule, spacing=grid.spacing)
        part = result[box]  # a view
        part[own > 0] = own[own > 0] + result.max()
    if separation is not None:
        result = grow_over_lines(label, result, grid=grid, separation=separation)
    return _without_small(result, label, values, rules, grid.voxel_volume)


def divide(
    mask: Bool[np.ndarray, "i j k"],
    inside: Float[np.ndarray, "i j k"] | None,
    rule: InstanceRule,
    *,
    spacing: Spacing,
) -> Int32[np.ndarray, "i j k"]:
    """The instances of one structure, before small ones are dropped.

    Args:
        mask: Voxels of the structure.
        inside: As in number_instances.
        rule: How the structure is divided.
        spacing: Voxel spacing.
    """
    if rule.seeds == "components":
        return components(mask, connectivity="all")
    if inside is None:
        assert rule.seeds == "distance", "such seeds need probabilities"
        inside = mask.astype(np.float32)
    return split_by_seeds(
        mask, inside, seeds=rule.seeds, threshold=rule.threshold, spacing=spacing
    )


def _without_small(
    found: Int32[np.ndarray, "i j k"],
    label: Integer[np.ndarray, "i j k"],
    values: Sequence[int],
    rules: Sequence[InstanceRule],
    voxel_volume: float,
) -> Int32[np.ndarray, "i j k"]:
    """Drop what is smaller than the rule of its structure says; ids stay."""
    sizes = np.bincount(found.ravel()) * voxel_volume
    least = np.zeros(len(sizes))
    for value, rule in zip(values, rules, strict=True):
        if rule.smallest_mm3:
            least[np.unique(found[label == value])] = rule.smallest_mm3
    least[0] = 0
    small = sizes < least
    return np.where(small[found], np.int32(0), found) if small.any() else found


def combine_instance_rules(
    folds: Sequence[tuple[InstanceRule, ...]],
) -> tuple[InstanceRule, ...]:
    """Combine the rules of folds: the seeds that most chose, the mean of their numbers.

    Args:
        folds: Rules of each fold, one per structure, or none at all.

    Returns:
        One rule per structure; none if a fold has none.
    """
    if not all(folds):
        return ()
    combined = []
    for chosen in zip(*folds, strict=True):
        seeds = Counter(rule.seeds for rule in chosen).most_common(1)[0][0]
        alike = [rule for rule in chosen if rule.seeds == seeds]
        combined.append(
            InstanceRule(
                seeds=seeds,
                threshold=fmean(rule.threshold for rule in alike),
                smallest_mm3=fmean(rule.smallest_mm3 for rule in alike),
            )
        )
    return tuple(combined)
