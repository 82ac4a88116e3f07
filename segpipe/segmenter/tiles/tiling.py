"""Tiling: how a volume is cut into tiles; the size that fits a memory budget."""

import math
from bisect import bisect_left
from dataclasses import dataclass

from segpipe.images.grid import Triple
from segpipe.networks.build import NetworkSpec
from segpipe.networks.catalogue import Network
from segpipe.networks.memory import forward_bytes
from segpipe.networks.shapes import build_shapes
from segpipe.segmenter.settings import Blending

LARGEST_BATCH = 8
# On CPUs a batch of large tiles is slower than single tiles: by 18 % at 64^3.
CPU_VOXELS = 1 << 17


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


def plan_tiling(
    spec: NetworkSpec,
    *,
    patch_size: Triple,
    slice_axis: int | None,
    shape: Triple,
    overlap_fraction: float,
    blending: Blending,
    memory_gb: float,
    on_cpu: bool,
) -> Tiling:
    """Choose the largest tile that fits, between the training patch and the volume.

    Large tiles have less overlap to compute twice. A network that normalizes by the
    statistics of its input keeps the size of its training patches. The result depends
    on the arguments only, so it is the same on every machine.

    Args:
        spec: The network.
        patch_size: Input voxels in training; no tile is smaller, even beyond the
            budget.
        slice_axis: The axis across which a 2-D network takes slices; None in 3-D.
        shape: Shape of the prepared volume, along the canonical axes.
        overlap_fraction: Share of a tile that its neighbour covers too.
        blending: Weights of overlapping tiles.
        memory_gb: Memory for a forward pass.
        on_cpu: Whether it runs on a CPU, where batches of large tiles do not pay.
    """
    network = build_shapes(spec)
    size = patch_size
    if not spec.sees_tile_statistics:
        size = _grown(network, spec, patch_size, slice_axis, shape, memory_gb)
    fitting = int(memory_gb * 1e9 / forward_bytes(spec, size, slice_axis))
    if on_cpu:
        fitting = min(fitting, CPU_VOXELS // math.prod(size))
    margin = [0 if axis == slice_axis else network.margin for axis in range(3)]
    window = [side - 2 * m for side, m in zip(size, margin, strict=True)]
    return Tiling(
        window=(window[0], window[1], window[2]),
        margin=(margin[0], margin[1], margin[2]),
        overlap_fraction=overlap_fraction,
        blending=blending,
        batch_size=max(1, min(fitting, LARGEST_BATCH)),
    )


def _grown(
    network: Network,
    spec: NetworkSpec,
    patch_size: Triple,
    slice_axis: int | None,
    shape: Triple,
    memory_gb: float,
) -> Triple:
    """Shrink the largest axis step by step, from the whole volume, until it fits."""
    size = [
        side if axis == slice_axis else max(side, network.input_size(length))
        for axis, (side, length) in enumerate(zip(patch_size, shape, strict=True))
    ]
    steps = [tuple(size)]
    while spare := [axis for axis in range(3) if size[axis] > patch_size[axis]]:
        axis = max(spare, key=lambda n: size[n])
        size[axis] = max(size[axis] - network.stride, patch_size[axis])
        steps.append(tuple(size))

    def fits(one: tuple[int, ...]) -> bool:
        i, j, k = one
        return forward_bytes(spec, (i, j, k), slice_axis) <= memory_gb * 1e9

    # Each step needs less than the one before, so halving finds the first that fits.
    first = bisect_left(steps, True, key=fits)
    i, j, k = steps[min(first, len(steps) - 1)]
    return i, j, k
