"""Confidence: how much Dice a segmenter expects of its own label map of a case."""

import math
from collections.abc import Sequence

import numpy as np

from segpipe.images.volume import Image, ImageStream
from segpipe.segmenter.inference.inference import Inference
from segpipe.segmenter.segmenter import Segmenter


def confidence(segmenter: Segmenter, image: Image, inference: Inference) -> float:
    """Mean over the structures of the soft Dice confidence, from 0 to 1.

    It is 2 sum(p in mask) / (sum(mask) + sum(p)): the Dice of the mask with the
    probabilities. A structure that is not found does not count; 0 if none is.

    Args:
        segmenter: The segmenter whose label map is judged.
        image: The image.
        inference: How the networks run.

    Source:
        Borges 2024, arXiv:2402.10665, the plug-in estimator.
    """
    outputs = segmenter.spec.outputs
    legend = segmenter.spec.plan.legend
    count = len(legend.structures) - 1
    inside, masks, shares = (np.zeros(count) for _ in range(3))
    for slab in segmenter.slabs(ImageStream.of(image), inference, probabilities=True):
        assert slab.probabilities is not None
        own = outputs.of_structures(slab.probabilities)
        for number in range(count):
            mask = legend.mask(slab.labels, number + 1)
            inside[number] += float(own[number][mask].sum(dtype=np.float64))
            masks[number] += int(mask.sum())
            shares[number] += float(own[number].sum(dtype=np.float64))
    return soft_dice(inside.tolist(), masks.tolist(), shares.tolist())


def soft_dice(
    inside: Sequence[float], masks: Sequence[float], shares: Sequence[float]
) -> float:
    """Mean of 2 inside / (mask + shares) over the structures that were found."""
    found = [
        2 * own / (size + total)
        for own, size, total in zip(inside, masks, shares, strict=True)
        if size
    ]
    return math.fsum(found) / len(found) if found else 0.0
