"""Shrinking: a prepared volume at a coarse resolution, by the mean of its blocks."""

from collections.abc import Iterable

import numpy as np
import torch
from jaxtyping import Float32, Integer
from torch.nn import functional as F

from segpipe.images.grid import Triple
from segpipe.images.volume import RollingSlices


def shrunk_shape(shape: Triple, factor: Triple) -> Triple:
    """Shape of a shrunk volume; blocks at its end may hold fewer voxels."""
    i, j, k = (-(-size // n) for size, n in zip(shape, factor, strict=True))
    return i, j, k


def shrink_image(
    parts: Iterable[Float32[np.ndarray, "channel _ j k"]],
    shape: Triple,
    factor: Triple,
    *,
    slices_at: int = 0,
    backwards: bool = False,
) -> Float32[np.ndarray, "channel ci cj ck"]:
    """The mean of each block of a prepared volume, of which only slices are held.

    Args:
        parts: The prepared slices, in order; their axis leads, the other two follow in
            canonical order.
        shape: Shape of the prepared volume, along the canonical axes.
        factor: Voxels of a block along the canonical axes.
        slices_at: The canonical axis along which slices come.
        backwards: Whether the last slice comes first.

    Returns:
        The shrunk volume, along the canonical axes.
    """
    length, step = shape[slices_at], factor[slices_at]
    plane = [n for axis, n in enumerate(factor) if axis != slices_at]
    source = RollingSlices(iter(parts), axis=1)
    runs = [(start, min(start + step, length)) for start in range(0, length, step)]
    if backwards:
        runs = [(length - stop, length - start) for start, stop in reversed(runs)]
    found = []
    for start, stop in runs:
        flat = torch.from_numpy(source.window(start, stop).mean(1))
        means = F.avg_pool2d(flat, plane, ceil_mode=True, count_include_pad=False)
        found.append(means.numpy())
    whole = np.stack(found[::-1] if backwards else found, axis=1)
    return np.ascontiguousarray(np.moveaxis(whole, 1, 1 + slices_at))


def shrink_label(
    label: Integer[np.ndarray, "i j k"], factor: Triple
) -> Integer[np.ndarray, "ci cj ck"]:
    """The largest value of each block: a structure, else what is known, if anything is.

    Blocks between annotated slices count as background where their known voxels do, or
    else no background would be known at all.

    Args:
        label: 1 where a structure is, 0 where none is, -1 where nobody knows.
        factor: Voxels of a block.
    """
    most = label
    for axis, (size, n) in enumerate(zip(label.shape, factor, strict=True)):
        most = np.maximum.reduceat(most, np.arange(0, size, n), axis=axis)
    return most
