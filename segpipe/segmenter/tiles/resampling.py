"""Resampling of slabs: from the prepared grid to that of an image."""

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from segpipe.images.grid import Triple
from segpipe.segmenter.preprocessing.resampling import AxisRun
from segpipe.segmenter.tiles.layout import Box
from segpipe.segmenter.tiles.sliding_window import SLAB_BYTES, Slab


def resampled_slabs(
    parts: Iterator[Slab], source: Triple, goal: Triple
) -> Iterator[Slab]:
    """Resample slabs linearly to another shape over the same box, one after the other.

    Output slice x lies at source position (x + 1/2) * source / goal - 1/2, clipped to
    the volume, because the grids share their outer edges (Grid.resampled). One slice of
    the slab before is kept.

    Args:
        parts: Slabs of the source, in order.
        source: Shape of the source along i, j, k.
        goal: Shape of the output.

    Yields:
        Slabs that together cover the output once.
    """
    if tuple(source) == tuple(goal):
        yield from parts
        return
    length, scale = source[0], source[0] / goal[0]
    kept: Tensor | None = None
    done, have = 0, 0  # slices of the output that were yielded, of the source read
    for slab in parts:
        values = slab.values
        if tuple(source[1:]) != tuple(goal[1:]):
            values = F.interpolate(values, size=goal[1:], mode="bilinear")
        first = have if kept is None else have - 1
        values = values if kept is None else torch.cat([kept, values])
        have = first + len(values)
        ready = goal[0]
        if have < length:  # the last slice that lies before source slice have - 1
            ready = min(goal[0], math.ceil((have - 0.5) / scale - 0.5))
        each = max(1, SLAB_BYTES // (4 * values[0].numel()))
        for start in range(done, ready, each):
            stop = min(ready, start + each)
            places = (torch.arange(start, stop, dtype=torch.float64) + 0.5) * scale
            places = (places - 0.5).clamp(0, length - 1)
            low = places.floor().long()
            high = (low + 1).clamp(max=have - 1)
            share = (places - low).float().to(values.device)[:, None, None, None]
            below, above = values[low - first], values[high - first]
            yield Slab(start, torch.lerp(below, above, share))
        done = max(done, ready)
        kept = values[-1:].clone()


def source_box(box: Box, source: Triple, goal: Triple) -> Box:
    """The part of a source that a box of the output is resampled from.

    Args:
        box: Box of the output.
        source: Shape of the source along i, j, k.
        goal: Shape of the output.
    """
    i, j, k = (_needed(run) for run in _runs(box, source, goal))
    return i, j, k


def source_part(part: slice, length: int, size: int) -> slice:
    """The part of an axis of a source that a part of the output is resampled from.

    Args:
        part: Part of the output along the axis.
        length: Voxels of the source along it.
        size: Voxels of the output.
    """
    return _needed(AxisRun(length, size, part.start, part.stop))


def resampled_box(
    parts: Iterator[Slab], source: Triple, goal: Triple, box: Box
) -> Iterator[Slab]:
    """Resample a box as ``resampled_slabs`` does the whole volume.

    Args:
        parts: Slabs of the source that cover ``source_box``, in order.
        source: Shape of the whole source along i, j, k.
        goal: Shape of the whole output.
        box: Box of the output.

    Yields:
        Slabs that together cover the box once.
    """
    if tuple(source) == tuple(goal):
        yield from parts
        return
    runs = _runs(box, source, goal)
    low, high, share = runs[0].neighbours
    high = np.minimum(high, _needed(runs[0]).stop - 1)
    have = first = int(low[0])
    kept: Tensor | None = None
    done = 0  # slices of the box that were yielded
    for slab in parts:
        values = _in_plane(_in_plane(slab.values, 2, runs[1]), 3, runs[2])
        kept = values if kept is None else torch.cat([kept, values])
        have += len(values)
        ready = int(np.searchsorted(high, have))
        each = max(1, SLAB_BYTES // (4 * values[0].numel()))
        for start in range(done, ready, each):
            part = slice(start, min(ready, start + each))
            below, above = kept[low[part] - first], kept[high[part] - first]
            weight = torch.from_numpy(share[part]).to(kept.device)
            mixed = torch.lerp(below, above, weight[:, None, None, None])
            yield Slab(box[0].start + start, mixed)
        done = ready
        if ready < len(low):
            gone = min(int(low[ready]) - first, len(kept))  # the next may not be here
            kept = kept[gone:].clone()
            first += gone


def _runs(box: Box, source: Triple, goal: Triple) -> list[AxisRun]:
    return [
        AxisRun(length, size, part.start, part.stop)
        for length, size, part in zip(source, goal, box, strict=True)
    ]


def _needed(run: AxisRun) -> slice:
    """The places of the source that a run of the output lies between."""
    if run.size == run.length:
        return slice(run.start, run.stop)
    low, high, _ = run.neighbours
    return slice(int(low[0]), int(high[-1]) + 1)


def _in_plane(values: Tensor, axis: int, run: AxisRun) -> Tensor:
    """Resample the part of an axis that a run needs."""
    if run.size == run.length:
        return values
    low, high, share = (
        torch.from_numpy(one).to(values.device) for one in run.neighbours
    )
    first = int(low[0])
    weight = share.reshape([-1 if n == axis else 1 for n in range(values.ndim)])
    below = values.index_select(axis, low - first)
    return below.lerp_(values.index_select(axis, high - first), weight)
