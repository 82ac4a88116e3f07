"""U-Net's constants: Ronneberger 2015, arXiv:1505.04597."""

import pytest
import torch
from torch import nn

from segpipe.networks.layers import Padding
from segpipe.networks.unet2d import UNet2d


def test_the_papers_network_has_23_convolutional_layers() -> None:
    """Section 2 counts the up-convolutions.

    Seeds: N1.
    """
    with torch.device("meta"):
        network = UNet2d(1, 2)
    kinds = (nn.Conv2d, nn.ConvTranspose2d)

    assert sum(isinstance(layer, kinds) for layer in network.modules()) == 23


def test_the_papers_network_has_31_030_658_parameters() -> None:
    """Seeds: N1."""
    with torch.device("meta"):
        network = UNet2d(1, 2)

    assert sum(p.numel() for p in network.parameters()) == 31_030_658


def test_the_papers_tile_of_572_gives_388() -> None:
    """Figure 1.

    Seeds: N1.
    """
    with torch.device("meta"):
        network, image = UNet2d(1, 2), torch.empty(1, 1, 572, 572)

    assert network(image).shape == (1, 2, 388, 388)
    assert network.output_size(572) == 388
    assert network.margin == (572 - 388) // 2


@pytest.mark.parametrize("size", [(16, 48), (64, 32)])
def test_same_padding_keeps_sizes(size: tuple[int, int]) -> None:
    network = UNet2d(3, 4, base_channels=2, padding="same")

    assert network(torch.zeros(2, 3, *size)).shape == (2, 4, *size)


def test_every_announced_size_is_what_comes_out() -> None:
    network = UNet2d(1, 2, base_channels=1)
    for size, expected in ((188, 4), (204, 20), (252, 68)):
        out = network(torch.zeros(1, 1, size, size)).shape[-1]

        assert out == network.output_size(size) == expected


def test_an_output_voxel_sees_the_margin_around_it_and_no_more() -> None:
    network = UNet2d(1, 1, base_channels=1).eval()
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.constant_(layer.weight, 0.5)
    image = torch.ones(1, 1, 204, 204, requires_grad=True)
    network(image)[0, 0, 0, 0].backward()

    assert image.grad is not None
    seen = image.grad[0, 0].nonzero()
    assert seen.min() == 0
    assert 92 < seen.max() <= 2 * 92 + 15


def test_dropout_acts_in_training_only() -> None:
    """Seeds: N7."""
    torch.manual_seed(0)
    network = UNet2d(1, 2, base_channels=2, padding="same")
    image = torch.randn(1, 1, 32, 32)

    assert not torch.equal(network.train()(image), network(image))
    assert torch.equal(network.eval()(image), network(image))


def test_gradients_reach_every_parameter() -> None:
    torch.manual_seed(0)
    network = UNet2d(1, 2, base_channels=4, padding="same", dropout=0.0)
    network(torch.randn(1, 1, 32, 32)).square().sum().backward()

    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


def test_added_skips_need_fewer_weights() -> None:
    """The first convolution of a level has half the channels in: 9 n^2 fewer weights.

    Seeds: N2.
    """
    with torch.device("meta"):
        network = UNet2d(1, 2, skips="addition")
    fewer = sum(9 * width**2 for width in (64, 128, 256, 512))

    assert sum(p.numel() for p in network.parameters()) == 31_030_658 - fewer
    assert [level[0].in_channels for level in network.merge] == [512, 256, 128, 64]


@pytest.mark.parametrize("padding", ["valid", "same"])
def test_added_skips_are_concatenated_ones_whose_weights_are_alike(
    padding: Padding,
) -> None:
    """A convolution of a sum is the sum of convolutions.

    Seeds: N2.
    """
    torch.manual_seed(0)
    added = UNet2d(1, 2, base_channels=2, padding=padding, skips="addition").double()
    joined = UNet2d(1, 2, base_channels=2, padding=padding).double()
    weights = added.state_dict()
    for level in range(4):
        name = f"merge.{level}.0.weight"
        weights[name] = torch.cat([weights[name]] * 2, dim=1)
    joined.load_state_dict(weights)
    side = added.input_size(20)
    image = torch.randn(1, 1, side, side, dtype=torch.float64)

    with torch.no_grad():
        torch.testing.assert_close(added.eval()(image), joined.eval()(image))
