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

    A row of tiles is cropped to where its slices may hold a structure, if this makes it
    fewer tiles. The tiles of a box lie where those of the whole volume do.
    """
    rest_j, rest_k = (clip(axes[n], within[n]) for n in (1, 2))
    for i in clip(axes[0], within[0]):
        if blank is None:
            yield from (build_tile(i, j, k) for j in rest_j for k in rest_k)
            continue
        planes = _planes(source, i.start, shape, tiling, blank)
        place = i.weights.device
        box = (
            _tiles_over(planes, 0, tiling, place),
            _tiles_over(planes, 1, tiling, place),
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
                if not all(plane.touches(j.start, k.start, tiling) for plane in planes):
                    known = torch.ones((), device=place)
                    tile = replace(tile, known=known.expand(tiling.window))
                yield tile


def reach_of(tiling: Tiling, blank: Blank) -> Triple:
    """Voxels on each side of a tile that must hold nothing, if it holds nothing."""
    i, j, k = (max(margin, blank.reach) for margin in tiling.margin)
    return i, j, k


@dataclass(frozen=True, eq=False)
class _Plane:
    """Where a structure may be in the slices of a row of tiles, by one rule.

    Attributes:
        marked: Where the rule says that something is.
        reach: Voxels along j and k within which a structure may then be.
    """

    marked: Bool[np.ndarray, "j k"]
    reach: tuple[int, int]

    def touches(self, j: int, k: int, tiling: Tiling) -> bool:
        """Whether a tile that begins at j and k may hold a structure."""
        near = tuple(
            slice(max(0, start - reach), start + window + reach)
            for start, window, reach in zip(
                (j, k), tiling.window[1:], self.reach, strict=True
            )
        )
        return bool(self.marked[near].any())

    def extent(self, axis: int) -> tuple[int, int]:
        """First voxel along an axis where a structure may be, and that after the last.

        Nothing lies between them where the rule says that nothing is.
        """
        places = np.flatnonzero(self.marked.any(1 - axis))
        if not len(places):
            return 0, 0
        low, high = int(places[0]), int(places[-1]) + 1
        reach, length = self.reach[axis], self.marked.shape[axis]
        return max(0, low - reach), min(length, high + reach)


def _planes(
    source: RollingSlices, start: int, shape: Triple, tiling: Tiling, blank: Blank
) -> list[_Plane]:
    """What each rule says of a row of tiles; a structure is only where all allow it."""
    i, j, k = reach_of(tiling, blank)
    stop = min(shape[0], start + tiling.window[0])
    planes = []
    if blank.floors is not None:
        low = max(0, start - i)
        block = source.ahead(low, min(shape[0], start + tiling.window[0] + i))
        held = np.zeros(shape[1:], dtype=bool)
        for number in range(block.shape[1]):
            held |= held_voxels(block[:, number], blank.floors)
        planes.append(_Plane(held, (j, k)))
    if blank.near is not None:
        whole = slice(0, shape[1]), slice(0, shape[2])
        found = np.zeros(shape[1:], dtype=bool)
        for at in range(max(0, start), stop):
            found |= blank.near.planes(at, at + 1, *whole)[0]
        planes.append(_Plane(found, (0, 0)))
    return planes


def _tiles_over(
    planes: list[_Plane], axis: int, tiling: Tiling, place: torch.device
) -> list[Along]:
    """The tiles along an axis over where a structure may be; none if it is nowhere."""
    extents = [plane.extent(axis) for plane in planes]
    low, high = max(one[0] for one in extents), min(one[1] for one in extents)
    if low >= high:
        return []
    length, window = planes[0].marked.shape[axis], tiling.window[1 + axis]
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
