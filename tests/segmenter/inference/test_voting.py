import numpy as np
import pytest
import torch

from segpipe.images.grid import Grid
from segpipe.images.volume import Image
from segpipe.project.errors import DataError
from segpipe.segmenter.compute import Compute
from segpipe.segmenter.inference.inference import Inference
from segpipe.segmenter.plan import Normalization
from segpipe.segmenter.segmenter import Segmenter
from tests.support.segmenters import segmenter_of_noise

CT = Normalization(kind="ct", low=-20, high=120, mean=50, standard_deviation=30)
COMPUTE = Compute(torch.device("cpu"), "fp32", 2)
INFERENCE = Inference(0.5, "gaussian", 0.001, False, COMPUTE)


def test_folds_vote_by_the_mean_of_their_probabilities(tmp_path) -> None:
    first, second = segmenter_of_noise(seed=1), segmenter_of_noise(seed=2)
    first.save(tmp_path / "0")
    second.save(tmp_path / "1")
    array = np.random.default_rng(0).random((1, 16, 16, 16)).astype(np.float32)

    both = Segmenter.ensemble([tmp_path / "0", tmp_path / "1"])
    parts = [
        torch.cat(
            [
                slab.values
                for slab in s.probabilities([array], array.shape[1:], INFERENCE)
            ]
        )
        for s in (first, second, both)
    ]

    torch.testing.assert_close((parts[0] + parts[1]) / 2, parts[2], atol=1e-5, rtol=0)


@pytest.mark.parametrize("network", ["unet2d", "unet3d", "vnet"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), 3e38])
def test_logits_that_are_not_finite_are_an_error_and_no_empty_mask(
    network: str, value: float
) -> None:
    """The last layer adds its bias to every logit, and two of 3e38 overflow."""
    flat = (16, 16, 1) if network == "unet2d" else (16, 16, 16)
    made = segmenter_of_noise(network=network, patch_size=flat)
    last = [name for name, _ in made.networks[0].named_parameters()][-1]
    bias = dict(made.networks[0].named_parameters())[last]
    torch.nn.init.constant_(bias, value)
    image = Image(
        np.random.default_rng(0).random((1, 16, 16, 16)).astype(np.float32),
        Grid.from_spacing((16, 16, 16), (1.0, 1.0, 1.0), "mm"),
    )

    with pytest.raises(DataError, match="expected finite logits"):
        made.segment(image, INFERENCE)
