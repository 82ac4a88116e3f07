"""The label map of a network that learned its target without any error."""

import numpy as np
import torch
from jaxtyping import Float32, Integer

from segpipe.images.grid import Grid
from segpipe.images.volume import SLICES, LabelMap
from segpipe.segmenter.inference.cutting import tiling_of
from segpipe.segmenter.inference.inference import Inference
from segpipe.segmenter.inference.label_slab import decode
from segpipe.segmenter.inference.turning import leading, stored
from segpipe.segmenter.rules.postprocessing import apply_rules
from segpipe.segmenter.spec import SegmenterSpec
from segpipe.segmenter.tiles.resampling import resampled_slabs
from segpipe.segmenter.tiles.sliding_window import slabs


def label_by_target(
    spec: SegmenterSpec,
    target: Integer[np.ndarray, "i j k"],
    grid: Grid,
    inference: Inference,
) -> tuple[LabelMap, Float32[np.ndarray, "oi oj ok"]]:
    """The label map of a network that learned a target without any error.

    The target goes through tiles, blending, resampling and post-processing as the
    probabilities of the networks do; these are not run.

    Args:
        spec: The segmenter's.
        target: Class indices on the prepared grid, along the canonical axes.
        grid: Grid of the image.
        inference: Tiles, blending and memory.

    Returns:
        The label map, and what ``Segmenter.number`` takes beside it.
    """
    orientation = grid.to_canonical
    frame, at = orientation.slices_first, orientation.slices_at
    backwards = orientation.flips[at]
    i, j, k = target.shape
    tiling = tiling_of(spec, (i, j, k), inference, slices_at=at, backwards=backwards)
    turned = np.moveaxis(target, at, 0)[:: -1 if backwards else 1]
    parts = (
        spec.outputs.encode(turned[start : start + SLICES])
        for start in range(0, len(turned), SLICES)
    )
    inner = tuple(
        slice(margin, margin + size)
        for margin, size in zip(tiling.margin, tiling.window, strict=True)
    )
    source = leading((i, j, k), at)
    goal = leading(grid.reoriented(orientation).shape, at)
    blended = slabs(
        parts,
        source,
        lambda tiles: tiles[:, :, inner[0], inner[1], inner[2]],
        tiling=tiling,
        device=torch.device("cpu"),
    )
    labels, inside = [], []
    for slab in resampled_slabs(blended, source, goal):
        classes, own = decode(slab.values, spec, inside=True)
        labels.append(stored(frame, classes))
        inside.append(stored(frame, own))
    array = apply_rules(
        np.concatenate(labels, axis=2),
        spec.rules,
        voxel_volume=grid.voxel_volume,
        legend=spec.plan.legend,
    )
    return LabelMap(array, grid), np.concatenate(inside, axis=2)
