"""Familiarity: whether an image is like those that a segmenter learnt from."""

import math

from segpipe.grid import Grid
from segpipe.plan import Fingerprint, Plan

SPACING_FACTOR = 1.25  # beyond the trained range, before it is worth a word
SIZE_FACTOR = 2.0


def warn_of_grid(grid: Grid, plan: Plan) -> list[str]:
    """What of the grid lies outside the training's fingerprint, in words.

    Args:
        grid: Of the image, on any axes.
        plan: Of the segmenter.
    """
    canonical = grid.reoriented(grid.to_canonical)
    fingerprint, unit = plan.fingerprint, plan.unit
    said = []
    for name, step, (low, _, high) in zip(
        "RAS", canonical.spacing, fingerprint.spacings, strict=True
    ):
        if not low / SPACING_FACTOR <= step <= high * SPACING_FACTOR:
            said.append(
                f"the spacing along {name}, {step:.4g} {unit}, lies outside the "
                f"training's {low:.4g} to {high:.4g}"
            )
    shape = canonical.shape_at(plan.spacing)
    extents = zip(
        "RAS",
        shape,
        fingerprint.median_prepared_shape,
        fingerprint.largest_prepared_shape,
        plan.spacing,
        strict=True,
    )
    for name, size, median, largest, step in extents:
        if not median / SIZE_FACTOR <= size <= largest * SIZE_FACTOR:
            said.append(
                f"the extent along {name}, {size * step:.4g} {unit}, is unlike the "
                f"training's, about {median * step:.4g} and at most "
                f"{largest * step:.4g}: another part of the body?"
            )
    return said


def warn_of_intensities(medians: list[float], plan: Plan) -> list[str]:
    """Whether the found structures are as bright as those of the training.

    Args:
        medians: Of each channel, over voxels of the found structures; NaN if none.
        plan: Of the segmenter.
    """
    fingerprint: Fingerprint = plan.fingerprint
    said = []
    for name, median, (low, _, high) in zip(
        plan.channels, medians, fingerprint.intensities, strict=True
    ):
        if not math.isnan(median) and not low <= median <= high:
            said.append(
                f"{name}: the median of what was found, {median:.4g}, lies outside "
                f"the training's structures, {low:.4g} to {high:.4g}: another scanner, "
                "protocol or unit?"
            )
    return said
