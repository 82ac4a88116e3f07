"""Topology: strides and kernels by axis, chosen from a patch and its spacing."""

import math
from collections.abc import Sequence

from pydantic import PositiveInt

from segpipe.project.documents import Document

SMALLEST = 4  # voxels of an axis after its last pooling
SIMILAR = 2.0  # an axis is pooled, or convolved, below this many times the smallest
LONE = 3 * SMALLEST  # voxels that the only axis left needs to be pooled
# Residual blocks of the stages; a stage beyond the last has as many as the last.
BLOCKS = (1, 3, 4, 6)


class Topology(Document):
    """Strides, kernels and blocks of an encoder's stages, highest resolution first.

    Attributes:
        strides: Stride along each axis with which a stage begins; 1 in the first.
        kernels: Kernel along each axis of the convolutions of a stage: 1 or 3.
        blocks: Number of residual blocks of a stage.
    """

    strides: tuple[tuple[PositiveInt, ...], ...]
    kernels: tuple[tuple[PositiveInt, ...], ...]
    blocks: tuple[PositiveInt, ...]

    @property
    def total_stride(self) -> tuple[int, ...]:
        """Down-sampling from the image to the lowest stage, along each axis."""
        return tuple(math.prod(axis) for axis in zip(*self.strides, strict=True))


def choose_topology(size: Sequence[int], spacing: Sequence[float]) -> Topology:
    """Choose strides and kernels for a patch.

    An axis is halved while it has 2 x 4 voxels and its spacing is below twice the
    smallest spacing of such axes; an axis that is left alone needs 3 x 4. Its kernel is
    1 until its spacing is below twice the smallest of all axes, then 3; at the bottom
    every kernel is 3.

    Args:
        size: Voxels of the patch along each axis.
        spacing: Spacing along each axis; its unit does not matter.

    Source:
        nnU-Net v2, ``get_pool_and_conv_props``, with the constant
        ``UNet_featuremap_min_edge_length`` = 4 and, for the blocks, those of
        ``ResEncUNetPlanner``; Isensee 2021, doi:10.1038/s41592-020-01008-z, online
        methods; Isensee 2024, arXiv:2404.09556.
    """
    voxels, coarseness = list(size), list(spacing)
    axes = range(len(voxels))
    strides, kernels = [(1,) * len(voxels)], []
    kernel = [1 for _ in axes]
    while pooled := _pooled(voxels, coarseness):
        finest = min(coarseness)
        kernel = [
            3 if kernel[axis] == 3 or coarseness[axis] / finest < SIMILAR else 1
            for axis in axes
        ]
        kernels.append(tuple(kernel))
        strides.append(tuple(2 if axis in pooled else 1 for axis in axes))
        for axis in pooled:
            voxels[axis], coarseness[axis] = -(-voxels[axis] // 2), 2 * coarseness[axis]
    kernels.append((3,) * len(voxels))
    blocks = tuple(BLOCKS[min(stage, len(BLOCKS) - 1)] for stage in range(len(strides)))
    return Topology(strides=tuple(strides), kernels=tuple(kernels), blocks=blocks)


def _pooled(voxels: list[int], spacing: list[float]) -> list[int]:
    """The axes that the next stage halves; none at the bottom."""
    large = [axis for axis, size in enumerate(voxels) if size >= 2 * SMALLEST]
    finest = min((spacing[axis] for axis in large), default=0.0)
    pooled = [axis for axis in large if spacing[axis] / finest < SIMILAR]
    if len(pooled) == 1 and voxels[pooled[0]] < LONE:
        return []
    return pooled
