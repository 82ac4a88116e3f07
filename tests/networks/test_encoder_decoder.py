"""One decoder with any up-sampling: it keeps sizes and learns."""

import pytest
import torch

from segpipe.networks.encoder_decoder import EncoderDecoder
from segpipe.networks.layers import UpsamplingName
from segpipe.networks.upsampling import UPSAMPLINGS
from tests.support.overfitting import dice_after_training

# Nails and unpooling have no weights; a kernel of 2 x 2 or 4 x 4 for each two channels.
KERNELS = {"transposed": 4, "learned_bilinear": 16}


@pytest.mark.parametrize("name", UPSAMPLINGS)
def test_the_size_is_kept_and_only_the_up_sampling_differs(
    name: UpsamplingName,
) -> None:
    """In the number of parameters; the transposed convolution has biases, too.

    Seeds: T5.
    """
    network = EncoderDecoder(2, 3, base_channels=2, upsampling=name)
    count, plain = (
        sum(weight.numel() for weight in one.parameters())
        for one in (
            network,
            EncoderDecoder(2, 3, base_channels=2, upsampling="nearest"),
        )
    )

    widths = (2, 4, 8, 16)
    kernels = KERNELS.get(name, 0) * sum(width**2 for width in widths)
    biases = sum(widths) if name == "transposed" else 0
    assert count == plain + kernels + biases
    assert network(torch.rand(2, 2, 32, 48)).shape == (2, 3, 32, 48)


@pytest.mark.parametrize("name", UPSAMPLINGS)
def test_a_narrow_network_learns_a_disc_with_any_up_sampling(
    name: UpsamplingName,
) -> None:
    """Seeds: T5, U1, U2, U3, U4, U5, U6."""
    torch.manual_seed(0)
    network = EncoderDecoder(1, 2, base_channels=8, upsampling=name)

    assert dice_after_training(network, size=32, steps=80, rate=1e-3) > 0.8
