"""Cutting: the tiles and columns of an image, by a segmenter's spec and the memory."""

import math
from dataclasses import replace

from segpipe.images.grid import Triple
from segpipe.networks.memory import forward_bytes
from segpipe.segmenter.inference.inference import Inference
from segpipe.segmenter.inference.turning import leading
from segpipe.segmenter.spec import SegmenterSpec
from segpipe.segmenter.tiles.columns import cut_columns, held_bytes
from segpipe.segmenter.tiles.layout import Box
from segpipe.segmenter.tiles.tiling import Tiling, plan_tiling

LEAST_SHARE = 0.5  # of the memory that is left to the outputs, beside large tiles


def tiling_of(
    spec: SegmenterSpec,
    shape: Triple,
    inference: Inference,
    *,
    slices_at: int,
    backwards: bool,
) -> Tiling:
    """How a prepared volume is cut into tiles; the axis of its slices leads.

    Args:
        spec: The segmenter's.
        shape: Shape of the prepared volume, along the canonical axes.
        inference: Overlap, blending and memory.
        slices_at: The canonical axis along which slices come.
        backwards: Whether the last slice comes first.
    """
    tiling = plan_tiling(
        spec.network,
        patch_size=spec.patch_size,
        slice_axis=spec.slice_axis,
        shape=shape,
        overlap_fraction=inference.overlap_fraction,
        blending=inference.blending,
        memory_gb=inference.memory_gb,
        on_cpu=inference.compute.device.type == "cpu",
    )
    return replace(
        tiling,
        window=leading(tiling.window, slices_at),
        margin=leading(tiling.margin, slices_at),
        backwards=backwards,
    )


def columns_of(
    spec: SegmenterSpec,
    prepared: Triple,
    goal: Triple,
    inference: Inference,
    *,
    slices_at: int,
    channels: int,
    voxel_bytes: int = 0,
) -> list[Box]:
    """The columns in which an image is computed so that its outputs fit the memory.

    They get what a pass of one batch of tiles leaves of it, and half of it at least.
    Where even the smallest tiles do not fit, nothing is cut; nor where the maps of the
    image, which are held until the last column is there, are larger than what cutting
    avoids.

    Args:
        spec: The segmenter's.
        prepared: Shape of the prepared volume, along the canonical axes.
        goal: Shape of the image, along the canonical axes.
        inference: Overlap, blending and memory.
        slices_at: The canonical axis along which slices come, and columns lie.
        channels: Channels of the outputs.
        voxel_bytes: Bytes of a voxel of all maps.

    Returns:
        Boxes of the image, in the order in which slices come.
    """
    turned = tiling_of(spec, prepared, inference, slices_at=slices_at, backwards=False)
    i, j, k = (
        side + 2 * margin
        for side, margin in zip(turned.window, turned.margin, strict=True)
    )
    rest = [j, k]
    rest.insert(slices_at, i)
    size = (rest[0], rest[1], rest[2])
    passing = turned.batch_size * forward_bytes(spec.network, size, spec.slice_axis)
    memory = inference.memory_gb * 1e9
    if passing > memory:  # whatever is cut, it is not enough
        return []
    _, *inner = leading(prepared, slices_at)
    _, *outer = leading(goal, slices_at)
    uncut = held_bytes(turned, channels, math.prod(inner), math.prod(outer))
    if math.prod(goal) * voxel_bytes > uncut:
        return []
    return cut_columns(
        leading(prepared, slices_at),
        leading(goal, slices_at),
        tiling=turned,
        classes=channels,
        limit=max(memory - passing, LEAST_SHARE * memory),
    )
