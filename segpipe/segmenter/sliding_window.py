"""Sliding window: tiles over a stream of slices, blended and passed on when finished.

Slices come along the first axis. Only the input of the current tiles is held, and the
sums of the output to which later tiles still add. So memory does not grow with the
length of the volume, and with the number of classes only by one row of tiles.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor
from torch.nn import functional as F

from segpipe.images.grid import Triple
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
class _Tile:
    """One tile: its place, and for each axis the weights of voxels in the volume."""

    start: Triple
    inside: tuple[slice, slice, slice]
    weights: tuple[Tensor, Tensor, Tensor]


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

    Yields:
        Slabs in order, which together cover each slice once.
    """
    source = RollingSlices(iter(parts), axis=1)
    place = sums_on or device
    tiles = _tiles(shape, tiling, place)
    held = tiling.slices_held
    sums: Tensor | None = None
    base = 0  # slices before it have been yielded
    with work("tiles", total=len(tiles), unit="tile") as told:
        for batch, after in _batches(tiles, tiling):
            outputs = infer(_cut(source, batch, shape, tiling).to(device))
            for tile, output in zip(batch, outputs, strict=True):
                if sums is None:
                    sums = torch.zeros(held, len(output), *shape[1:], device=place)
                _add(sums, tile, output.to(place))
            told.advance(len(batch))
            assert sums is not None
            done = shape[0] if after is None else max(base, after.start[0])
            each = max(1, SLAB_BYTES // (4 * sums[0].numel()))
            while base < done:  # up to the end of the ring buffer or of a slab
                end = min(done, base + each, base - base % held + held)
                ready = sums[base % held : (end - 1) % held + 1]
                yield Slab(base, ready.clone())
                ready.zero_()
                base = end


def _tiles(shape: Triple, tiling: Tiling, place: torch.device) -> list[_Tile]:
    """All tiles in the order in which they run: along the last axis first.

    Tiles lie on a grid and their weights are products of one weight per axis. So the
    sum of the weights of overlapping tiles is a product, too. Divided by it axis by
    axis, the weights of each voxel add up to 1.
    """
    axes = []
    for axis, (length, window) in enumerate(zip(shape, tiling.window, strict=True)):
        starts = tile_starts(length, window, tiling.overlap_fraction)
        if axis == 0 and tiling.backwards:
            starts = [length - window - start for start in reversed(starts)]
        whole = blend_weights(window, tiling.blending).double()
        insides = [slice(max(0, -s), min(window, length - s)) for s in starts]
        cover = torch.zeros(length, dtype=torch.float64)
        for start, inside in zip(starts, insides, strict=True):
            cover[start + inside.start : start + inside.stop] += whole[inside]
        axes.append(
            [
                (s, n, (whole[n] / cover[s + n.start : s + n.stop]).float().to(place))
                for s, n in zip(starts, insides, strict=True)
            ]
        )
    return [
        _Tile((i[0], j[0], k[0]), (i[1], j[1], k[1]), (i[2], j[2], k[2]))
        for i, j, k in itertools.product(*axes)
    ]


def _batches(
    tiles: list[_Tile], tiling: Tiling
) -> Iterator[tuple[list[_Tile], _Tile | None]]:
    """Batches of tiles whose slices can be held at once, each with the next tile."""
    first = 0
    while first < len(tiles):
        limit = max(0, tiles[first].start[0]) + tiling.slices_held - tiling.window[0]
        last = first + 1
        while (
            last < min(len(tiles), first + tiling.batch_size)
            and tiles[last].start[0] <= limit
        ):
            last += 1
        yield tiles[first:last], tiles[last] if last < len(tiles) else None
        first = last


def _cut(
    source: RollingSlices, batch: list[_Tile], shape: Triple, tiling: Tiling
) -> Float32[Tensor, "B channel i j k"]:
    """Cut the input of tiles, with margin."""
    indices = [
        [
            mirrored_indices(start - margin, window + 2 * margin, length)
            for start, margin, window, length in zip(
                tile.start, tiling.margin, tiling.window, shape, strict=True
            )
        ]
        for tile in batch
    ]
    low = min(int(along[0].min()) for along in indices)
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
