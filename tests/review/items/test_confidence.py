"""Soft Dice is the Dice of a mask with the probabilities, worked out by hand."""

import numpy as np
import pytest

from segpipe.images.grid import Grid
from segpipe.images.volume import Image, ImageStream
from segpipe.review.items.confidence import confidence, soft_dice
from segpipe.segmenter.inference.inference import Inference
from tests.support.projects import one_thread
from tests.support.segmenters import make_plan, make_segmenter


def test_soft_dice_is_the_formula() -> None:
    """A mask of 2 voxels with p .9 and .7, and .4 outside: 2 * 1.6 / (2 + 2)."""
    assert soft_dice([1.6], [2.0], [2.0]) == pytest.approx(0.8)
    assert soft_dice([1.6, 0.0], [2.0, 0.0], [2.0, 5.0]) == pytest.approx(0.8)
    assert soft_dice([0.0], [0.0], [1.0]) == 0


def test_it_is_taken_from_the_segmenters_probabilities() -> None:
    segmenter = make_segmenter(make_plan())
    array = np.random.default_rng(0).normal(size=(1, 16, 18, 20)).astype(np.float32)
    image = Image(array, Grid.from_spacing((16, 18, 20), (1.0, 1.0, 1.0), "mm"))
    inference = Inference(0.0, "gaussian", 1.0, False, one_thread())
    slabs = list(segmenter.slabs(ImageStream.of(image), inference, probabilities=True))
    labels = np.concatenate([slab.labels for slab in slabs], axis=2)
    shares = np.concatenate([slab.probabilities for slab in slabs], axis=3)  # type: ignore[misc]

    right = [
        2
        * shares[n][labels == value].sum()
        / ((labels == value).sum() + shares[n].sum())
        for n, value in ((1, 3), (2, 7))
        if (labels == value).any()
    ]
    expected = np.mean(right) if right else 0
    assert confidence(segmenter, image, inference) == pytest.approx(expected, rel=1e-4)
