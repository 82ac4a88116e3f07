"""Convolutions keep the size and see 1 + L (k - 1) pixels."""

import pytest
import torch
from torch import nn

from segpipe.networks.arithmetic import Window, receptive_field
from segpipe.networks.convolutions import Convolutions
from tests.support.overfitting import dice_after_training


@pytest.mark.parametrize("layers", [1, 3, 8])
def test_an_output_sees_one_and_two_times_the_layers(layers: int) -> None:
    """By the gradient, which reaches every pixel of the field and no other.

    Seeds: T4.
    """
    network = Convolutions(1, 1, base_channels=1, layers=layers)
    for weight in network.parameters():
        nn.init.constant_(weight, 0.5)
    image = torch.ones(1, 1, 31, 31, requires_grad=True)
    network(image)[0, 0, 15, 15].backward()

    assert image.grad is not None
    seen = image.grad[0, 0].nonzero()
    field = 1 + layers * (3 - 1)
    assert len(seen) == field**2
    assert (seen.max() - seen.min()).item() + 1 == field
    assert receptive_field([Window(3, padding=1)] * layers) == (field, 1)


@pytest.mark.parametrize("size", [(1, 7), (16, 33)])
def test_every_size_is_kept(size: tuple[int, int]) -> None:
    """Seeds: T4."""
    network = Convolutions(2, 3, base_channels=2)

    assert network(torch.zeros(2, 2, *size)).shape == (2, 3, *size)
    assert network.output_size(size[1]) == size[1]


def test_eight_layers_of_32_channels_have_65_122_parameters() -> None:
    """288 + 32, seven times 9216 + 32, and 64 + 2 weights: one channel, two classes."""
    assert sum(weight.numel() for weight in Convolutions(1, 2).parameters()) == 65_122


def test_a_narrow_network_learns_a_disc() -> None:
    """Whose pixels its small field can tell.

    Seeds: T4.
    """
    torch.manual_seed(0)
    network = Convolutions(1, 2, base_channels=4)

    assert dice_after_training(network, size=48, steps=60, rate=1e-2) > 0.95
