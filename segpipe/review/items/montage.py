"""Montage: an item as one picture, for machines without WebGL."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
from jaxtyping import Integer

from segpipe.evaluation.report.pictures.overlays import plot_overlay
from segpipe.evaluation.report.pictures.planes import Exhibit, Structure
from segpipe.evaluation.report.pictures.views import (
    cut_views,
    notes_of,
    shown_channels,
    size_unit,
)
from segpipe.images.values import Legend
from segpipe.images.volume import Image
from segpipe.review.dossier import Letter


def build_montage(
    image: Image,
    masks: Mapping[Letter, Integer[np.ndarray, "i j k"]],
    legend: Legend,
    *,
    channels: Sequence[str],
) -> Exhibit:
    """Show the planes of an item where its masks differ most, a column a letter.

    Args:
        image: The image on the canonical grid; NaN in channels that the case lacks.
        masks: Label map of each letter.
        legend: What their values stand for.
        channels: Names of the channels.
    """
    own: dict[str, np.ndarray] = dict(sorted(masks.items()))
    classes = {letter: legend.topmost(mask) for letter, mask in own.items()}
    size = size_unit(image.grid)[1]
    shown, notes = shown_channels(len(image.array), channels)
    bright = np.nan_to_num(image.array[:shown])
    sizes = {
        name: {
            letter: int(legend.mask(mask, number).sum()) * size
            for letter, mask in own.items()
        }
        for number, name in enumerate(legend.structures)
        if number
    }
    return Exhibit(
        views=cut_views(
            bright,
            classes,
            grid=image.grid,
            chosen=most_different(list(classes.values())),
        ),
        structures=[
            Structure(name, legend.structures.index(name), found)
            for name, found in sizes.items()
            if any(found.values())
        ],
        unit=size_unit(image.grid)[0],
        notes=(*notes, *notes_of(image.grid)),
    )


def build_previous(
    image: Image, channels: Sequence[str], *, window: tuple[float, float]
) -> Exhibit:
    """Show the middle planes of a previous study alone, in the window of the image."""
    shown, _ = shown_channels(len(image.array), channels)
    i, j, k = (size // 2 for size in image.grid.shape)
    views = cut_views(image.array[:shown], {}, grid=image.grid, chosen=(i, j, k))
    return Exhibit(
        views=[replace(view, window=window) for view in views],
        structures=[],
        unit=size_unit(image.grid)[0],
        notes=tuple(notes_of(image.grid)),
    )


def plot_montage(item: str, exhibit: Exhibit, *, what: str = "") -> bytes:
    """The picture of an item, as PNG; only its id names it, and what it shows."""
    return plot_overlay(f"Item {item}{what}", exhibit)


def most_different(
    classes: Sequence[Integer[np.ndarray, "i j k"]],
) -> tuple[int, int, int]:
    """The slices along i, j and k in which masks differ most.

    Each pair of masks counts as much as any other: a mask that fills the image would
    else decide alone, and far from what the others show. Without a difference they are
    those with most voxels of structures, and without any those in the middle.
    """
    differences = [one != other for one, other in combinations(classes, 2)]
    for masks in (differences, [mask > 0 for mask in classes]):
        found = [mask for mask in masks if mask.any()]
        if found:
            i, j, k = (
                sum(mask.sum(axis=axes) / mask.sum() for mask in found)
                for axes in ((1, 2), (0, 2), (0, 1))
            )
            return int(np.argmax(i)), int(np.argmax(j)), int(np.argmax(k))
    i, j, k = (size // 2 for size in classes[0].shape)
    return i, j, k
