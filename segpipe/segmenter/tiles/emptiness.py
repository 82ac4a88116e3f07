"""Emptiness: the tiles of a volume, without those that hold nothing.

Where an image holds nothing, the answer may be known without the network: rows of tiles
are cropped to what is not empty, and tiles that hold nothing are not computed.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float32
from torch import Tensor

from segpipe.images.grid import Triple
from segpipe.images.region import held_voxels
from segpipe.images.volume import RollingSlices
from segpipe.segmenter.tiles.layout import (
    Along,
    Box,
    Tile,
    along_axis,
    build_tile,
    clip,
    tile_starts,
)
from segpipe.segmenter.tiles.tiling import Tiling


@dataclass(frozen=True, eq=False)
class Near:
    """Where structures may be in a prepared volume, on a coarse grid.

    Attributes:
        mask: Where they may be.
        blocks: Coarse voxel of each voxel along each axis, in the order of the mask's.
    """

    mask: Bool[np.ndarray, "i j k"]
    blocks: tuple[np.ndarray, np.ndarray, np.ndarray]

    @classmethod
    def of(
        cls,
        mask: Bool[np.ndarray, "i j k"],
        shape: Triple,
        factor: Triple,
        *,
        slices_at: int,
        backwards: bool,
    ) -> "Near":
        """Build it for the order in which slices come.

        Args:
            mask: Where structures may be, along the canonical axes.
            shape: Shape of the prepared volume, along the canonical axes.
            factor: Voxels of a coarse voxel along the canonical axes.
            slices_at: The canonical axis along which slices come.
            backwards: Whether the last slice comes first.
        """
        blocks = [np.arange(size) // n for size, n in zip(shape, factor, strict=True)]
        first = blocks.pop(slices_at)
        first = first[::-1] if backwards else first
        return cls(np.moveaxis(mask, slices_at, 0), (first, blocks[0], blocks[1]))

    def planes(
        self, start: int, stop: int, rows: slice, columns: slice
    ) -> Bool[np.ndarray, "n j k"]:
        """Where structures may be in some slices of a box."""
        first, j, k = self.blocks
        found: np.ndarray = self.mask[np.ix_(first[start:stop], j[rows], k[columns])]
        return found


@dataclass(frozen=True, eq=False)
class Blank:
    """Where no structure is, and what is certain there.

    Attributes:
        floors: Value of each channel of the prepared slices where there is nothing;
            None if images hold something everywhere.
        reach: Voxels on each side of a place that hold nothing, too.
        classes: Number of the network's outputs.
        channel: The output that is 1 where there is nothing; None if all are 0.
        near: Where structures may be; None if they may be everywhere.
    """

    floors: Float32[np.ndarray, " channel"] | None
    reach: int
    classes: int
    channel: int | None
    near: Near | None = None

    def clear(
        self, values: Float32[Tensor, "n c j k"], start: int, within: Box
    ) -> None:
        """Make sure in place that slices of a box hold nothing far from structures."""
        if self.near is None:
            return
        planes = self.near.planes(start, start + len(values), *within[1:])
        far = torch.from_numpy(~planes).to(values.device)
        values.masked_fill_(far[:, None], 0)
        if self.channel is not None:
            values[:, self.channel].masked_fill_(far, 1)


def list_tiles(
    axes: tuple[list[Along], list[Along], list[Along]],
    source: RollingSlices,
    shape: Triple,
    tiling: Tiling,
    blank: Blank | None,
    within: Box,
) -> Iterator[Tile]:
    """The tiles that reach a box, in the order in which they run: last axis first.

    A row of tiles is cropped to what its slices hold, if this makes it fewer tiles. The
    tiles of a box lie where those of the whole volume do.
    """
    rest_j, rest_k = (clip(axes[n], within[n]) for n in (1, 2))
    for i in clip(axes[0], within[0]):
        if blank is None:
            yield from (build_tile(i, j, k) for j in rest_j for k in rest_k)
            continue
        reach = reach_of(tiling, blank)
        held = _held_plane(source, i.start, shape, tiling, blank)
        place = i.weights.device
        lines = (np.asarray(held.any(1)), np.asarray(held.any(0)))
        box = (
            _tiles_over(lines[0], 1, reach, tiling, place),
            _tiles_over(lines[1], 2, reach, tiling, place),
        )
        along_j, along_k = rest_j, rest_k
        if len(box[0]) * len(box[1]) < len(axes[1]) * len(axes[2]):
            along_j, along_k = clip(box[0], within[1]), clip(box[1], within[2])
            fewer = len(rest_j) * len(rest_k) - len(along_j) * len(along_k)
            outside = _outside(i, box, shape, within)
            yield replace(outside, stands_for=max(0, fewer))
        for j in along_j:
            for k in along_k:
                tile = build_tile(i, j, k)
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


def reach_of(tiling: Tiling, blank: Blank) -> Triple:
    """Voxels on each side of a tile that must hold nothing, if it holds nothing."""
    i, j, k = (max(margin, blank.reach) for margin in tiling.margin)
    return i, j, k


def _held_plane(
    source: RollingSlices, start: int, shape: Triple, tiling: Tiling, blank: Blank
) -> Bool[np.ndarray, "j k"]:
    """Where one of the slices of a row of tiles, or of its reach, holds something."""
    reach = reach_of(tiling, blank)[0]
    stop = min(shape[0], start + tiling.window[0] + reach)
    block = source.ahead(max(0, start - reach), stop)
    held = np.zeros(shape[1:], dtype=bool)
    everything = slice(0, shape[1]), slice(0, shape[2])
    for number, at in enumerate(range(max(0, start - reach), stop)):
        plane = np.ones(shape[1:], dtype=bool)
        if blank.floors is not None:
            plane = held_voxels(block[:, number], blank.floors)
        if blank.near is not None:
            plane &= blank.near.planes(at, at + 1, *everything)[0]
        held |= plane
    return held


def _tiles_over(
    held: Bool[np.ndarray, " n"],
    axis: int,
    reach: Triple,
    tiling: Tiling,
    place: torch.device,
) -> list[Along]:
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
    return along_axis(starts, length, window, tiling.blending, place)


def _outside(
    i: Along, box: tuple[list[Along], ...], shape: Triple, within: Box
) -> Tile:
    """The rest of the slices of a row, beside the tiles over what it holds."""
    device = i.weights.device
    outside = torch.ones(shape[1:], device=device)
    if all(box):
        low, high = ([at[end] for at in box] for end in (0, -1))
        first = [at.start + at.inside.start for at in low]
        last = [at.start + at.inside.stop for at in high]
        outside[first[0] : last[0], first[1] : last[1]] = 0
    ones = [torch.ones(part.stop - part.start, device=device) for part in within[1:]]
    return Tile(
        (i.start, 0, 0),
        (i.inside, *within[1:]),
        (i.weights, ones[0], ones[1]),
        known=outside.expand(i.inside.stop, *shape[1:]),
    )
