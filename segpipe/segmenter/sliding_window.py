"""Sliding window: tiles over a stream of slices, blended and passed on when finished.

Slices come along the first axis. Only the input of the current tiles is held, and the
sums of the output to which later tiles still add. So memory does not grow with the
length of the volume, and with the number of classes only by one row of tiles.

Where an image holds nothing, the answer may be known without the network: rows of tiles
are cropped to what is not empty, and tiles that hold nothing are not computed.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32
from torch import Tensor
from torch.nn import functional as F

from segpipe.images.grid import Triple
from segpipe.images.region import held_voxels
from segpipe.images.volume import RollingSlices, mirrored_indices, take_box
from segpipe.project.progress import work
from segpipe.segmenter.settings import Blending

Infer = Callable[[Tensor], Tensor]
SLAB_BYTES = 1 << 26  # approximate size of a slab of finished slices


@dataclass(frozen=True)
class Tiling:
    """How a volume is cut into tiles.

    Attributes:
        window: Output voxels of a tile.
        margin: Voxels of input beyond the output on each side, the context of a
            network with valid convolutions.
        overlap_fraction: Share of a tile that its neighbour covers too, from 0 to 0.9.
        blending: ``gaussian`` weighs a tile's centre most, ``constant`` all its voxels
            equally.
        batch_size: Largest number of tiles per forward pass.
        backwards: Whether the last slice comes first. Tiles lie at the same places as
            in the other direction.
    """

    window: Triple
    margin: Triple
    overlap_fraction: float
    blending: Blending
    batch_size: int
    backwards: bool = False

    @property
    def slices_held(self) -> int:
        """Slices of the sums that are held at once."""
        return max(self.window[0], self.batch_size)


@dataclass(frozen=True, eq=False)
class Slab:
    """Finished slices of a volume.

    Attributes:
        start: Index of the first slice along i, in the order of the slices.
        values: Blended output of the network.
    """

    start: int
    values: Float32[Tensor, "i class j k"]


@dataclass(frozen=True, eq=False)
class Blank:
    """Where an image holds nothing, and what is certain there.

    Attributes:
        floors: Value of each channel of the prepared slices where there is nothing.
        reach: Voxels on each side of a place that hold nothing, too.
        classes: Number of the network's outputs.
        channel: The output that is 1 where there is nothing; None if all are 0.
    """

    floors: Float32[np.ndarray, " channel"]
    reach: int
    classes: int
    channel: int | None


class _Along(NamedTuple):
    """A tile along one axis: its place, and the weights of its voxels in the volume."""

    start: int
    inside: slice
    weights: Float32[Tensor, " n"]


@dataclass(frozen=True, eq=False)
class _Tile:
    """One tile: its place, and for each axis the weights of voxels in the volume.

    Attributes:
        start: First voxel of the window.
        inside: The part of the window that lies in the volume.
        weights: Weights of this part.
        known: Where the output is known to be that of a blank, instead of running the
            network; None for a tile of the network.
        stands_for: Number of tiles of the whole volume.
    """

    start: Triple
    inside: tuple[slice, slice, slice]
    weights: tuple[Tensor, Tensor, Tensor]
    known: Float32[Tensor, "i j k"] | None = None
    stands_for: int = 1


def blend_weights(size: int, blending: Blending) -> Float32[Tensor, " size"]:
    """Weights of a tile's voxels along one axis, at most 1 and never 0.

    Source:
        Gaussian with standard deviation size / 8, as in nnU-Net (Isensee 2021,
        doi:10.1038/s41592-020-01008-z), kept above 0.001.
    """
    if blending == "constant":
        return torch.ones(size)
    places = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    weights = torch.exp(-(places**2) / (2 * (size / 8) ** 2))
    return weights.clamp(min=1e-3).float()


def tile_starts(length: int, window: int, overlap_fraction: float) -> list[int]:
    """First voxels of the fewest evenly spread tiles with at least this overlap.

    The first tile starts at 0 and the last ends at the end; a volume shorter than the
    window gets one tile around its middle.
    """
    if length <= window:
        return [-((window - length) // 2)]
    step = max(1, math.floor(window * (1 - overlap_fraction)))
    count = math.ceil((length - window) / step) + 1
    return [round(n * (length - window) / (count - 1)) for n in range(count)]


def slabs(
    parts: Iterable[Float32[np.ndarray, "channel _ j k"]],
    shape: Triple,
    infer: Infer,
    *,
    tiling: Tiling,
    device: torch.device,
    sums_on: torch.device | None = None,
    blank: Blank | None = None,
) -> Iterator[Slab]:
    """Run a network over a volume of any size.

    Args:
        parts: The prepared slices, in order; beyond its edges the volume is mirrored.
        shape: Shape of the whole volume along i, j, k.
        infer: Maps tiles (B channel i j k) with margin to outputs (B class i j k)
            without margin.
        tiling: How the volume is cut.
        device: Device of the network.
        sums_on: Device on which outputs are blended and slabs lie; by default the same.
        blank: Where the output is known without the network; by default nowhere.

    Yields:
        Slabs in order, which together cover each slice once.
    """
    source = RollingSlices(iter(parts), axis=1)
    place = sums_on or device
    axes = _axes(shape, tiling, place)
    tiles = _tiles(axes, source, shape, tiling, blank)
    held = tiling.slices_held
    reach = 0 if blank is None else _reach(tiling, blank)[0]
    sums: Tensor | None = None
    if blank is not None:
        sums = torch.zeros(held, blank.classes, *shape[1:], device=place)
    base = 0  # slices before it have been yielded
    total = math.prod(len(along) for along in axes)
    with work("tiles", total=total, unit="tile") as told:
        for batch, after in _batches(tiles, tiling):
            run = [tile for tile in batch if tile.known is None]
            keep = max(0, batch[0].start[0] - reach)  # slices that are looked at again
            if run:
                outputs = infer(_cut(source, run, shape, tiling, keep).to(device))
                for tile, output in zip(run, outputs, strict=True):
                    if sums is None:
                        sums = torch.zeros(held, len(output), *shape[1:], device=place)
                    _add(sums, tile, output.to(place))
            else:
                source.window(keep, keep)  # releases those before
            assert sums is not None
            for tile in batch:
                if tile.known is not None and blank is not None:
                    _add_known(sums, tile, blank)
            told.advance(sum(tile.stands_for for tile in batch))
            done = shape[0] if after is None else max(base, after.start[0])
            each = max(1, SLAB_BYTES // (4 * sums[0].numel()))
            while base < done:  # up to the end of the ring buffer or of a slab
                end = min(done, base + each, base - base % held + held)
                ready = sums[base % held : (end - 1) % held + 1]
                yield Slab(base, ready.clone())
                ready.zero_()
                base = end


def _axes(
    shape: Triple, tiling: Tiling, place: torch.device
) -> tuple[list[_Along], list[_Along], list[_Along]]:
    """The tiles along each axis.

    Tiles lie on a grid and their weights are products of one weight per axis. So the
    sum of the weights of overlapping tiles is a product, too. Divided by it axis by
    axis, the weights of each voxel add up to 1.
    """
    axes = []
    for axis, (length, window) in enumerate(zip(shape, tiling.window, strict=True)):
        starts = tile_starts(length, window, tiling.overlap_fraction)
        if axis == 0 and tiling.backwards:
            starts = [length - window - start for start in reversed(starts)]
        axes.append(_along(starts, length, window, tiling.blending, place))
    return axes[0], axes[1], axes[2]


def _along(
    starts: list[int], length: int, window: int, blending: Blending, place: torch.device
) -> list[_Along]:
    """The tiles along one axis, with weights that add up to 1 where there are tiles."""
    whole = blend_weights(window, blending).double()
    insides = [slice(max(0, -s), min(window, length - s)) for s in starts]
    cover = torch.zeros(length, dtype=torch.float64)
    for start, inside in zip(starts, insides, strict=True):
        cover[start + inside.start : start + inside.stop] += whole[inside]
    return [
        _Along(s, n, (whole[n] / cover[s + n.start : s + n.stop]).float().to(place))
        for s, n in zip(starts, insides, strict=True)
    ]


def _tile(i: _Along, j: _Along, k: _Along) -> _Tile:
    weights = (i.weights, j.weights, k.weights)
    return _Tile((i.start, j.start, k.start), (i.inside, j.inside, k.inside), weights)


def _tiles(
    axes: tuple[list[_Along], list[_Along], list[_Along]],
    source: RollingSlices,
    shape: Triple,
    tiling: Tiling,
    blank: Blank | None,
) -> Iterator[_Tile]:
    """All tiles in the order in which they run: along the last axis first.

    A row of tiles is cropped to what its slices hold, if this makes it fewer tiles.
    """
    along_j, along_k = axes[1:]
    for i in axes[0]:
        if blank is None:
            yield from (_tile(i, j, k) for j in along_j for k in along_k)
            continue
        reach = _reach(tiling, blank)
        held = _held_plane(source, i.start, shape, tiling, blank)
        place = i.weights.device
        lines = (np.asarray(held.any(1)), np.asarray(held.any(0)))
        box = (
            _tiles_over(lines[0], 1, reach, tiling, place),
            _tiles_over(lines[1], 2, reach, tiling, place),
        )
        count, whole = len(box[0]) * len(box[1]), len(along_j) * len(along_k)
        if count < whole:
            yield replace(_outside(i, box, shape), stands_for=whole - count)
        else:
            box = (along_j, along_k)
        for j in box[0]:
            for k in box[1]:
                tile = _tile(i, j, k)
                near = tuple(
                    slice(max(0, at.start - beyond), at.start + window + beyond)
                    for at, window, beyond in zip(
                        (j, k), tiling.window[1:], reach[1:], strict=True
                    )
                )
                if not held[near].any():
                    known = torch.ones((), device=place)
                    tile = replace(tile, known=known.expand(tiling.window))
                yield tile


def _reach(tiling: Tiling, blank: Blank) -> Triple:
    """Voxels on each side of a tile that must hold nothing, if it holds nothing."""
    i, j, k = (max(margin, blank.reach) for margin in tiling.margin)
    return i, j, k


def _held_plane(
    source: RollingSlices, start: int, shape: Triple, tiling: Tiling, blank: Blank
) -> Bool[np.ndarray, "j k"]:
    """Where one of the slices of a row of tiles, or of its reach, holds something."""
    reach = _reach(tiling, blank)[0]
    stop = min(shape[0], start + tiling.window[0] + reach)
    block = source.ahead(max(0, start - reach), stop)
    held = np.zeros(shape[1:], dtype=bool)
    for number in range(block.shape[1]):
        held |= held_voxels(block[:, number], blank.floors)
    return held


def _tiles_over(
    held: Bool[np.ndarray, " n"],
    axis: int,
    reach: Triple,
    tiling: Tiling,
    place: torch.device,
) -> list[_Along]:
    """The tiles along an axis over what is held; none if nothing is."""
    places = np.flatnonzero(held)
    if not len(places):
        return []
    length, window = len(held), tiling.window[axis]
    low = max(0, int(places[0]) - reach[axis])
    high = min(length, int(places[-1]) + 1 + reach[axis])
    low = max(0, min(low, length - window))  # room for one tile
    high = min(length, max(high, low + window))
    starts = tile_starts(high - low, window, tiling.overlap_fraction)
    starts = [low + start for start in starts]
    return _along(starts, length, window, tiling.blending, place)


def _outside(i: _Along, box: tuple[list[_Along], ...], shape: Triple) -> _Tile:
    """The rest of the slices of a row, beside the tiles over its box."""
    device = i.weights.device
    outside = torch.ones(shape[1:], device=device)
    if all(box):
        low, high = ([at[end] for at in box] for end in (0, -1))
        first = [at.start + at.inside.start for at in low]
        last = [at.start + at.inside.stop for at in high]
        outside[first[0] : last[0], first[1] : last[1]] = 0
    ones = [torch.ones(size, device=device) for size in shape[1:]]
    return _Tile(
        (i.start, 0, 0),
        (i.inside, slice(0, shape[1]), slice(0, shape[2])),
        (i.weights, ones[0], ones[1]),
        known=outside.expand(i.inside.stop, *shape[1:]),
    )


def _batches(
    tiles: Iterator[_Tile], tiling: Tiling
) -> Iterator[tuple[list[_Tile], _Tile | None]]:
    """Batches of tiles whose slices can be held at once, each with the next tile."""
    batch: list[_Tile] = []
    limit = 0
    for tile in tiles:
        if len(batch) == tiling.batch_size or (batch and tile.start[0] > limit):
            yield batch, tile
            batch = []
        if not batch:
            limit = max(0, tile.start[0]) + tiling.slices_held - tiling.window[0]
        batch.append(tile)
    yield batch, None


def _cut(
    source: RollingSlices,
    batch: list[_Tile],
    shape: Triple,
    tiling: Tiling,
    keep: int,
) -> Float32[Tensor, "B channel i j k"]:
    """Cut the input of tiles, with margin; slices from ``keep`` on are not released."""
    indices = [
        [
            mirrored_indices(start - margin, window + 2 * margin, length)
            for start, margin, window, length in zip(
                tile.start, tiling.margin, tiling.window, shape, strict=True
            )
        ]
        for tile in batch
    ]
    low = min(keep, *(int(along[0].min()) for along in indices))
    high = max(int(along[0].max()) for along in indices) + 1
    block = source.window(low, high)
    return torch.from_numpy(
        np.stack([take_box(block, (i - low, j, k)) for i, j, k in indices])
    )


def _add(sums: Tensor, tile: _Tile, output: Float[Tensor, "class i j k"]) -> None:
    """Add a tile's output, times its weights, to the ring buffer, in place."""
    i, j, k = tile.weights
    plane = j[:, None] * k
    inside = output[:, tile.inside[0], tile.inside[1], tile.inside[2]].float()
    goal = tuple(
        slice(start + part.start, start + part.stop)
        for start, part in zip(tile.start, tile.inside, strict=True)
    )
    held, done = len(sums), 0
    while done < len(i):  # twice where the end of the ring buffer lies inside the tile
        slot = (goal[0].start + done) % held
        count = min(len(i) - done, held - slot)
        part = slice(done, done + count)
        sums[slot : slot + count, :, goal[1], goal[2]].addcmul_(
            inside[:, part].transpose(0, 1), i[part, None, None, None] * plane
        )
        done += count


def _add_known(sums: Tensor, tile: _Tile, blank: Blank) -> None:
    """Add what is certain where a tile holds nothing, in place."""
    if blank.channel is not None:
        assert tile.known is not None
        _add(sums[:, blank.channel : blank.channel + 1], tile, tile.known[None])


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
