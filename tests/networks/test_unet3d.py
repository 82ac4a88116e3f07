"""3D U-Net's constants: Çiçek 2016, arXiv:1606.06650."""

import pytest
import torch
from torch import nn

from segpipe.networks.unet3d import UNet3d

KINDS = (nn.Conv3d, nn.ConvTranspose3d)


def test_the_papers_network_has_19_069_955_parameters_of_convolutions() -> None:
    """Section 2; three channels, three classes.

    Seeds: N8.
    """
    with torch.device("meta"):
        network = UNet3d(3, 3)
    layers = [layer for layer in network.modules() if isinstance(layer, KINDS)]

    total = sum(p.numel() for layer in layers for p in layer.parameters())
    assert total == 19_069_955


def test_the_papers_tile_of_132_132_116_gives_44_44_28() -> None:
    """Seeds: N8."""
    with torch.device("meta"):
        network = UNet3d(3, 3)
        image = torch.empty(1, 3, 132, 132, 116)

    assert network(image).shape == (1, 3, 44, 44, 28)
    assert [network.output_size(size) for size in (132, 132, 116)] == [44, 44, 28]


def test_channels_double_before_each_pooling() -> None:
    """Against bottlenecks: section 2, figure 2."""
    with torch.device("meta"):
        network = UNet3d(3, 3)
    widths = [
        [layer.out_channels for layer in block if isinstance(layer, nn.Conv3d)]
        for block in network.down
        if isinstance(block, nn.Sequential)
    ]

    assert widths == [[32, 64], [64, 128], [128, 256], [256, 512]]


def test_normalization_stands_before_each_relu() -> None:
    with torch.device("meta"):
        network = UNet3d(1, 2)
    for block in [*network.down, *network.merge]:
        assert isinstance(block, nn.Sequential)
        names = [type(layer).__name__ for layer in block]

        assert names == ["Conv3d", "CurrentStatisticsNorm", "ReLU"] * 2


@pytest.mark.parametrize("size", [(8, 16, 24), (16, 8, 8)])
def test_same_padding_keeps_sizes(size: tuple[int, int, int]) -> None:
    network = UNet3d(2, 3, base_channels=2, padding="same")

    assert network(torch.zeros(2, 2, *size)).shape == (2, 3, *size)


def test_every_announced_size_is_what_comes_out() -> None:
    network = UNet3d(1, 2, base_channels=1)
    sizes = (92, 100, 108)
    out = network(torch.zeros(1, 1, *sizes)).shape[2:]

    assert list(out) == [network.output_size(size) for size in sizes] == [4, 12, 20]


def test_gradients_reach_every_parameter() -> None:
    torch.manual_seed(0)
    network = UNet3d(1, 2, base_channels=4, padding="same")
    network(torch.randn(1, 1, 16, 16, 16)).square().sum().backward()

    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name
