"""Parameters and values of the public code, dynamic-network-architectures 0.4.4."""

import pytest
import torch

from segpipe.networks.resenc2d import ResEnc2d
from segpipe.networks.topology import choose_topology


def test_the_network_of_512_pixels_has_140_019_061_parameters() -> None:
    """With one channel and three classes."""
    with torch.device("meta"):
        network = ResEnc2d(1, 3)

    assert sum(weight.numel() for weight in network.parameters()) == 140_019_061


def test_it_computes_what_the_public_code_computes() -> None:
    """With weights that depend on nothing but the shape of their tensor."""
    topology = choose_topology((24, 32), (1.0, 1.0))
    network = ResEnc2d(2, 3, base_channels=4, topology=topology)
    for weight in network.parameters():
        values = 0.3 * torch.cos(torch.arange(weight.numel(), dtype=torch.float32))
        weight.data = values.view(weight.shape)
    count = torch.arange(2 * 24 * 32, dtype=torch.float32)
    image = torch.sin(count * 0.37).view(1, 2, 24, 32)

    large, small = network.levels(image)
    assert large.shape == (1, 3, 24, 32)
    assert small.shape == (1, 3, 12, 16)
    found = [(x.square().mean().item(), x.flatten()[7].item()) for x in (large, small)]
    assert found[0] == pytest.approx((0.07787, 0.37124), abs=1e-4)
    assert found[1] == pytest.approx((0.157537, 0.55832), abs=1e-4)
