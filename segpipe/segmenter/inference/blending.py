"""Blending: the probabilities of a prepared volume, from those of its tiles."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from segpipe.images.grid import Triple
from segpipe.segmenter.compute import Stopwatch, memory_demanded
from segpipe.segmenter.inference.cutting import tiling_of
from segpipe.segmenter.inference.inference import Inference
from segpipe.segmenter.inference.turning import leading, turn, turn_back
from segpipe.segmenter.inference.voting import Logits, vote
from segpipe.segmenter.spec import SegmenterSpec
from segpipe.segmenter.tiles.emptiness import Blank, Near
from segpipe.segmenter.tiles.layout import Box, whole_box
from segpipe.segmenter.tiles.sliding_window import Slab, slabs


def blend(
    spec: SegmenterSpec,
    networks: Sequence[Logits],
    parts: Iterable[Float32[np.ndarray, "channel _ j k"]],
    shape: Triple,
    inference: Inference,
    *,
    slices_at: int,
    backwards: bool,
    with_disagreement: bool,
    floors: Float32[np.ndarray, " channel"] | None,
    stopwatch: Stopwatch,
    within: Box | None = None,
    near: Near | None = None,
) -> Iterator[Slab]:
    """Probabilities on the prepared grid, slab by slab: mean of the folds.

    Args:
        spec: The segmenter's.
        networks: One for each fold.
        parts: The prepared slices, as ``Segmenter.probabilities`` takes them.
        shape: Shape of the prepared volume, along the canonical axes.
        inference: How the networks run.
        slices_at: The canonical axis along which slices come.
        backwards: Whether the last slice comes first.
        with_disagreement: Whether a last channel holds the disagreement of the folds.
        floors: Prepared value of each channel where the image holds nothing, if the
            networks need not run there.
        stopwatch: Measures the time in the network.
        within: Box of the volume, in the order in which slices come, that slabs cover;
            by default all of it.
        near: Where structures may be; by default everywhere.
    """
    device = inference.compute.device
    tiling = tiling_of(spec, shape, inference, slices_at=slices_at, backwards=backwards)
    source = leading(shape, slices_at)
    classes = spec.network.out_channels + with_disagreement
    box = within or whole_box(source)
    plane = (box[1].stop - box[1].start) * (box[2].stop - box[2].start)
    sums_bytes = 4 * tiling.slices_held * classes * plane

    def infer(tiles: Tensor) -> Tensor:
        with stopwatch.phase("network"), memory_demanded("lower memory_gb"):
            result = vote(
                networks,
                turn(tiles, slices_at, backwards=backwards),
                spec,
                inference,
                with_disagreement=with_disagreement,
            )
            if device.type == "cuda":
                torch.cuda.synchronize(device)
        return turn_back(result, slices_at, backwards=backwards)

    fits = sums_bytes <= inference.memory_gb * 1e9
    return slabs(
        parts,
        source,
        infer,
        tiling=tiling,
        device=device,
        sums_on=None if fits else torch.device("cpu"),
        blank=_blank(spec, floors, near, classes),
        within=box,
    )


def _blank(
    spec: SegmenterSpec,
    floors: Float32[np.ndarray, " channel"] | None,
    near: Near | None,
    classes: int,
) -> Blank | None:
    """Where no structure is; None if nothing is known of it."""
    empty = spec.plan.emptiness if floors is not None else None
    if empty is None and near is None:
        return None
    channel = None if spec.outputs.overlap else 0
    if empty is None:
        return Blank(None, 0, classes, channel, near)
    return Blank(floors, empty.reach, classes, channel, near)
