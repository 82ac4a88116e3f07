"""Sliding window: tiles over a stream of slices, blended and passed on when finished.

Slices come along the first axis. Only the input of the current tiles is held, and the
sums of the output to which later tiles still add. So memory does not grow with the
length of the volume, and with the number of classes only by one row of tiles.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from segpipe.images.grid import Triple
from segpipe.images.volume import RollingSlices, mirrored_indices, take_box
from segpipe.project.progress import work
from segpipe.segmenter.tiles.emptiness import Blank, list_tiles, reach_of
from segpipe.segmenter.tiles.layout import Box, Tile, clip, place_tiles, whole_box
from segpipe.segmenter.tiles.tiling import Tiling

Infer = Callable[[Tensor], Tensor]
SLAB_BYTES = 1 << 24  # approximate size of a slab of finished slices
SLAB_SHARE = 8  # slabs that the sums are larger than, if a slice is


@dataclass(frozen=True, eq=False)
class Slab:
    """Finished slices of a volume.

    Attributes:
        start: Index of the first slice along i, in the order of the slices.
        values: Blended output of the network.
    """

    start: int
    values: Float32[Tensor, "i class j k"]


def slabs(
    parts: Iterable[Float32[np.ndarray, "channel _ j k"]],
    shape: Triple,
    infer: Infer,
    *,
    tiling: Tiling,
    device: torch.device,
    sums_on: torch.device | None = None,
    blank: Blank | None = None,
    within: Box | None = None,
) -> Iterator[Slab]:
    """Run a network over a volume of any size, or over a box of it.

    Only the tiles that reach the box are computed, and only its sums are held. They lie
    where those of the whole volume do, so the values in the box are the same.

    Args:
        parts: The prepared slices, in order; beyond its edges the volume is mirrored.
        shape: Shape of the whole volume along i, j, k.
        infer: Maps tiles (B channel i j k) with margin to outputs (B class i j k)
            without margin.
        tiling: How the volume is cut.
        device: Device of the network.
        sums_on: Device on which outputs are blended and slabs lie; by default the same.
        blank: Where the output is known without the network; by default nowhere.
        within: The box; by default the whole volume.

    Yields:
        Slabs in order, which together cover each slice of the box once.
    """
    source = RollingSlices(iter(parts), axis=1)
    place = sums_on or device
    axes = place_tiles(shape, tiling, place)
    box = within or whole_box(shape)
    tiles = list_tiles(axes, source, shape, tiling, blank, box)
    held, plane = tiling.slices_held, [part.stop - part.start for part in box[1:]]
    reach = 0 if blank is None else reach_of(tiling, blank)[0]
    sums: Tensor | None = None
    if blank is not None:
        sums = torch.zeros(held, blank.classes, *plane, device=place)
    base = box[0].start  # slices before it have been yielded, or lie before the box
    total = math.prod(len(clip(*one)) for one in zip(axes, box, strict=True))
    with work("tiles", total=total, unit="tile") as told:
        for batch, after in _batches(tiles, tiling):
            run = [tile for tile in batch if tile.known is None]
            keep = max(0, batch[0].start[0] - reach)  # slices that are looked at again
            if run:
                outputs = infer(_cut(source, run, shape, tiling, keep).to(device))
                for tile, output in zip(run, outputs, strict=True):
                    if sums is None:
                        sums = torch.zeros(held, len(output), *plane, device=place)
                    _add(sums, tile, output.to(place), box)
            else:
                source.window(keep, keep + 1)  # releases those before
            assert sums is not None
            for tile in batch:
                if tile.known is not None and blank is not None:
                    _add_known(sums, tile, blank, box)
            ran = min(total, sum(tile.stands_for for tile in batch))
            told.advance(ran)
            total -= ran  # a cropped row may have more tiles in a box than it replaces
            done = box[0].stop if after is None else max(base, after.start[0])
            each = max(1, SLAB_BYTES // (4 * sums[0].numel()))
            if within is not None:  # in little memory
                each = max(1, min(each, held // SLAB_SHARE))
            while base < done:  # up to the end of the ring buffer or of a slab
                end = min(done, base + each, base - base % held + held)
                ready = sums[base % held : (end - 1) % held + 1]
                if blank is not None:
                    blank.clear(ready, base, box)
                yield Slab(base, ready.clone())
                ready.zero_()
                base = end


def _batches(
    tiles: Iterator[Tile], tiling: Tiling
) -> Iterator[tuple[list[Tile], Tile | None]]:
    """Batches of tiles whose slices can be held at once, each with the next tile."""
    batch: list[Tile] = []
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
    batch: list[Tile],
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


def _add(
    sums: Tensor, tile: Tile, output: Float[Tensor, "class i j k"], box: Box
) -> None:
    """Add a tile's output, times its weights, to the ring buffer of a box, in place."""
    i, j, k = tile.weights
    plane = j[:, None] * k
    inside = output[:, tile.inside[0], tile.inside[1], tile.inside[2]].float()
    goal = tuple(
        slice(start + part.start - first, start + part.stop - first)
        for start, part, first in zip(
            tile.start, tile.inside, (0, box[1].start, box[2].start), strict=True
        )
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


def _add_known(sums: Tensor, tile: Tile, blank: Blank, box: Box) -> None:
    """Add what is certain where a tile holds nothing, in place."""
    if blank.channel is not None:
        assert tile.known is not None
        _add(sums[:, blank.channel : blank.channel + 1], tile, tile.known[None], box)
