from dataclasses import replace

import numpy as np
import pytest
import torch

from segpipe.images.grid import Grid
from segpipe.images.region import Emptiness, Region
from segpipe.images.volume import Image, ImageStream
from segpipe.segmenter.compute import Compute
from segpipe.segmenter.inference.inference import Inference
from segpipe.segmenter.plan import Normalization
from tests.support.segmenters import (
    NONE,
    ZSCORE,
    make_plan,
    make_segmenter,
    segmenter_of_noise,
)

CT = Normalization(kind="ct", low=-20, high=120, mean=50, standard_deviation=30)
COMPUTE = Compute(torch.device("cpu"), "fp32", 2)
INFERENCE = Inference(0.5, "gaussian", 0.001, False, COMPUTE)


@pytest.mark.parametrize("how", [NONE, ZSCORE, CT])
@pytest.mark.parametrize("turned", [False, True])
def test_what_holds_nothing_is_background_and_the_rest_is_as_before(
    how: Normalization, turned: bool
) -> None:
    """A block fills the plane, so tiles over it are the same ones."""
    air = -1024.0
    plan = make_plan(
        normalization=(how,),
        region=Region(kind="box", background=(air,)),
        emptiness=Emptiness(floors=(-20.0 if how is CT else air,), reach=4),
    )
    made = make_segmenter(plan, network="unet3d", seeds=(0, 1))
    array = np.full((1, 16, 16, 80), air, dtype=np.float32)
    rng = np.random.default_rng(0)
    array[0, :, :, 40:56] = rng.normal(50, 30, (16, 16, 16))
    matrix = np.diag([1.0, 1.0, -1.0 if turned else 1.0, 1.0])
    image = Image(array, Grid((16, 16, 80), matrix, "mm"))
    stream = ImageStream.of(image)

    def labelled(skip_empty: str) -> tuple[np.ndarray, np.ndarray]:
        inference = replace(INFERENCE, skip_empty=skip_empty)
        found = list(made.slabs(stream, inference, uncertainty=True))
        return tuple(
            np.concatenate([getattr(slab, name) for slab in found], axis=2)
            for name in ("labels", "entropy")
        )

    labels, entropy = labelled("auto")
    before, unsure = labelled("never")

    assert not labels[:, :, :16].any()
    assert not entropy[:, :, :16].any()
    assert unsure[:, :, :16].any()
    np.testing.assert_array_equal(labels[:, :, 44:52], before[:, :, 44:52])
    assert labels[:, :, 44:52].any()
    np.testing.assert_allclose(entropy[:, :, 44:52], unsure[:, :, 44:52], atol=1e-6)


def test_nothing_is_left_out_where_the_plan_does_not_know_what_is_empty() -> None:
    made = segmenter_of_noise()
    array = np.zeros((1, 40, 16, 16), dtype=np.float32)
    array[0, :16] = np.random.default_rng(0).random((16, 16, 16))
    image = Image(array, Grid.from_spacing((40, 16, 16), (1.0, 1.0, 1.0), "mm"))

    labels = [
        made.segment(image, replace(INFERENCE, skip_empty=how)).array
        for how in ("auto", "never")
    ]

    np.testing.assert_array_equal(*labels)
