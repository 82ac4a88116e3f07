"""Coarse: where structures may be, found at a coarse resolution before all else.

Source:
    Two stages, of which the first one finds where the second one works: Isensee 2021,
    doi:10.1038/s41592-020-01008-z, the U-Net cascade, whose second stage gets the first
    one's label map; here it gets the place only (docs/decisions/0027).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.ndimage
from jaxtyping import Float32

from segpipe.images.grid import Triple
from segpipe.images.volume import SLICES
from segpipe.segmenter.compute import Stopwatch
from segpipe.segmenter.inference.blending import blend
from segpipe.segmenter.inference.inference import Inference
from segpipe.segmenter.inference.voting import Logits
from segpipe.segmenter.preprocessing.shrinking import shrink_image
from segpipe.segmenter.spec import CoarseSpec, SegmenterSpec
from segpipe.segmenter.tiles.emptiness import Near


@dataclass(frozen=True, eq=False)
class Finder:
    """Finds where structures may be.

    Attributes:
        spec: The coarse networks as a segmenter of their own.
        how: Resolution, thresholds and reach.
        networks: One for each fold.
    """

    spec: SegmenterSpec
    how: CoarseSpec
    networks: Sequence[Logits]

    def find(
        self,
        parts: Iterable[Float32[np.ndarray, "channel _ j k"]],
        shape: Triple,
        inference: Inference,
        *,
        slices_at: int,
        backwards: bool,
        stopwatch: Stopwatch,
    ) -> Near:
        """Where structures may be in a prepared volume.

        Args:
            parts: The prepared slices, as ``Segmenter.probabilities`` takes them.
            shape: Shape of the prepared volume, along the canonical axes.
            inference: How the networks run.
            slices_at: The canonical axis along which slices come.
            backwards: Whether the last slice comes first.
            stopwatch: Measures the time in the networks.
        """
        factor = self.how.factor
        coarse = shrink_image(
            parts, shape, factor, slices_at=slices_at, backwards=backwards
        )
        mask = np.zeros(coarse.shape[1:], dtype=bool)
        for network, threshold in zip(self.networks, self.how.thresholds, strict=True):
            found = find_structures(self.spec, network, coarse, inference, stopwatch)
            mask |= widen(found, self.how.reach) > threshold
        return Near.of(mask, shape, factor, slices_at=slices_at, backwards=backwards)


def find_structures(
    spec: SegmenterSpec,
    network: Logits,
    image: Float32[np.ndarray, "channel i j k"],
    inference: Inference,
    stopwatch: Stopwatch,
) -> Float32[np.ndarray, "i j k"]:
    """The probability that a coarse voxel holds a structure.

    Args:
        spec: The coarse networks as a segmenter of their own.
        network: One of them.
        image: The shrunk volume.
        inference: How the network runs.
        stopwatch: Measures the time in the network.
    """
    _, i, j, k = image.shape
    blended = blend(
        spec.model_copy(update={"temperatures": (1.0,)}),
        [network],
        (image[:, start : start + SLICES] for start in range(0, i, SLICES)),
        (i, j, k),
        inference,
        slices_at=0,
        backwards=False,
        with_disagreement=False,
        floors=None,
        stopwatch=stopwatch,
    )
    return np.concatenate([1 - slab.values[:, 0].cpu().numpy() for slab in blended])


def widen(
    found: Float32[np.ndarray, "i j k"], reach: int
) -> Float32[np.ndarray, "i j k"]:
    """The highest probability within a reach of each voxel, along each axis."""
    size = 2 * reach + 1
    widened: np.ndarray = scipy.ndimage.maximum_filter(found, size, mode="nearest")
    return widened
