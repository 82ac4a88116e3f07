"""Layout: where tiles lie in a volume, and the weights of their voxels."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float32
from torch import Tensor

from segpipe.images.grid import Triple
from segpipe.segmenter.settings import Blending
from segpipe.segmenter.tiles.tiling import Tiling

Box = tuple[slice, slice, slice]


class Along(NamedTuple):
    """A tile along one axis: its place, and the weights of its voxels in the volume."""

    start: int
    inside: slice
    weights: Float32[Tensor, " n"]


@dataclass(frozen=True, eq=False)
class Tile:
    """One tile: its place, and for each axis the weights of voxels in the box.

    Attributes:
        start: First voxel of the window, in the volume.
        inside: The part of the window that lies in the box which is computed.
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


def place_tiles(
    shape: Triple, tiling: Tiling, place: torch.device
) -> tuple[list[Along], list[Along], list[Along]]:
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
        axes.append(along_axis(starts, length, window, tiling.blending, place))
    return axes[0], axes[1], axes[2]


def along_axis(
    starts: list[int], length: int, window: int, blending: Blending, place: torch.device
) -> list[Along]:
    """The tiles along one axis, with weights that add up to 1 where there are tiles."""
    whole = blend_weights(window, blending).double()
    insides = [slice(max(0, -s), min(window, length - s)) for s in starts]
    cover = torch.zeros(length, dtype=torch.float64)
    for start, inside in zip(starts, insides, strict=True):
        cover[start + inside.start : start + inside.stop] += whole[inside]
    return [
        Along(s, n, (whole[n] / cover[s + n.start : s + n.stop]).float().to(place))
        for s, n in zip(starts, insides, strict=True)
    ]


def build_tile(i: Along, j: Along, k: Along) -> Tile:
    """The tile at a place along each axis."""
    weights = (i.weights, j.weights, k.weights)
    return Tile((i.start, j.start, k.start), (i.inside, j.inside, k.inside), weights)


def whole_box(shape: Triple) -> Box:
    """The box of a whole volume."""
    i, j, k = (slice(0, size) for size in shape)
    return i, j, k


def clip(tiles: Sequence[Along], part: slice) -> list[Along]:
    """The tiles along an axis that reach a part of it, with their weights there."""
    clipped = []
    for start, inside, weights in tiles:
        low = max(inside.start, part.start - start)
        high = min(inside.stop, part.stop - start)
        if low < high:
            own = weights[low - inside.start : high - inside.start]
            clipped.append(Along(start, slice(low, high), own))
    return clipped
