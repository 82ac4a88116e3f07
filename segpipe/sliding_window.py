"""Tiles over a volume, blended and handed on slab by slab: bounded memory.

A slab is a run of slices along i that no later tile touches. Only one row of tiles is
held at a time, so that memory does not grow with the length of the volume.
"""

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from segpipe.volume import mirrored_window

Triple = tuple[int, int, int]
Infer = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Tiling:
    """How a volume is cut.

    Attributes:
        window: Output voxels of a tile.
        margin: Input beyond the output, a side: context of a valid-convolution network.
        overlap_fraction: Share of a tile that its neighbour covers too, from 0 to 0.9.
        blending: ``gaussian`` trusts a tile's centre most, ``constant`` all alike.
        batch_size: Tiles a forward pass.
    """

    window: Triple
    margin: Triple
    overlap_fraction: float
    blending: Literal["gaussian", "constant"]
    batch_size: int


@dataclass(frozen=True, eq=False)
class Slab:
    """Finished slices of a volume.

    Attributes:
        start: Index of the first slice along i.
        values: Blended output of the network, one channel a class.
    """

    start: int
    values: Float32[Tensor, "channel i j k"]


def blend_weights(size: int, blending: str) -> Float32[Tensor, " size"]:
    """The weight of a tile's voxels along one axis, at most 1 and never 0.

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
    """First voxels of the fewest evenly spread tiles that overlap at least so much.

    The first tile starts at 0 and the last ends at the end; a volume shorter than the
    window gets one tile around its middle.
    """
    if length <= window:
        return [-((window - length) // 2)]
    step = max(1, math.floor(window * (1 - overlap_fraction)))
    count = math.ceil((length - window) / step) + 1
    return [round(n * (length - window) / (count - 1)) for n in range(count)]


def slabs(
    image: Float32[np.ndarray, "channel i j k"],
    infer: Infer,
    *,
    tiling: Tiling,
    device: torch.device,
) -> Iterator[Slab]:
    """Run a network over a volume of any size.

    Args:
        image: The prepared volume; beyond its edges it is mirrored.
        infer: Tiles (B channel i j k) with margin to outputs (B class i j k) without.
        tiling: How the volume is cut.
        device: Where the network runs; slabs come on the CPU.

    Yields:
        Slabs in order, which together cover each slice once.
    """
    length, *plane = image.shape[1:]
    starts = [
        tile_starts(size, window, tiling.overlap_fraction)
        for size, window in zip(image.shape[1:], tiling.window, strict=True)
    ]
    weights = _tile_weights(tiling)
    total: Tensor | None = None
    cover = torch.zeros((0, *plane))
    base = 0  # slice of the volume that the sums' first slice stands for
    for row, first in enumerate(starts[0]):
        end = min(first + tiling.window[0], length)
        tiles = [(first, j, k) for j, k in itertools.product(*starts[1:])]
        for place, output in _run(image, infer, tiles, tiling, device):
            if total is None:
                total = torch.zeros((len(output), 0, *plane))
            if total.shape[1] < end - base:
                missing = end - base - total.shape[1]
                total = torch.cat(
                    [total, total.new_zeros((len(total), missing, *plane))], dim=1
                )
                cover = torch.cat([cover, cover.new_zeros((missing, *plane))])
            _add(total, cover, output, weights, place, base, image.shape[1:])
        assert total is not None
        last = row + 1 == len(starts[0])
        done = length if last else max(base, starts[0][row + 1])
        if done > base:
            ready = done - base
            finished, total = total[:, :ready], total[:, ready:].clone()
            finished /= cover[:ready]
            cover = cover[ready:].clone()
            yield Slab(base, finished)
            del finished  # its memory is free as soon as the receiver drops it
            base = done


def _tile_weights(tiling: Tiling) -> Float32[Tensor, "i j k"]:
    i, j, k = (blend_weights(size, tiling.blending) for size in tiling.window)
    return i[:, None, None] * j[:, None] * k


def _run(
    image: np.ndarray,
    infer: Infer,
    tiles: list[Triple],
    tiling: Tiling,
    device: torch.device,
) -> Iterator[tuple[Triple, Float[Tensor, "class i j k"]]]:
    """The network's output for each tile, in batches."""
    size = tuple(w + 2 * m for w, m in zip(tiling.window, tiling.margin, strict=True))
    for first in range(0, len(tiles), tiling.batch_size):
        batch = tiles[first : first + tiling.batch_size]
        inputs = [
            mirrored_window(
                image,
                _triple(s - m for s, m in zip(place, tiling.margin, strict=True)),
                _triple(size),
            )
            for place in batch
        ]
        outputs = infer(torch.from_numpy(np.stack(inputs)).to(device)).float().cpu()
        yield from zip(batch, outputs, strict=True)


def _triple(values: "Iterator[int] | tuple[int, ...]") -> Triple:
    i, j, k = values
    return i, j, k


def _add(
    total: Tensor,
    cover: Tensor,
    output: Tensor,
    weights: Tensor,
    place: Triple,
    base: int,
    shape: tuple[int, ...],
) -> None:
    """Add a tile's output, times its weights, to the sums (in place)."""
    inside = [
        slice(max(0, -start), min(window, size - start))
        for start, window, size in zip(place, weights.shape, shape, strict=True)
    ]
    offset = (place[0] - base, place[1], place[2])
    goal = [
        slice(start + part.start, start + part.stop)
        for start, part in zip(offset, inside, strict=True)
    ]
    share = weights[inside[0], inside[1], inside[2]]
    total[:, goal[0], goal[1], goal[2]] += (
        output[:, inside[0], inside[1], inside[2]] * share
    )
    cover[goal[0], goal[1], goal[2]] += share
