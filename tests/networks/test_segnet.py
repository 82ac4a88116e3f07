"""Constants of ``segnet_train.prototxt`` in the authors' SegNet-Tutorial."""

import torch
from torch import nn

from segpipe.networks.segnet import SegNet


def test_the_papers_network_has_29_433_483_weights() -> None:
    """With 11 classes, and 15,872 more of batch normalization.

    Seeds: D2.
    """
    with torch.device("meta"):
        network = SegNet(3, 11)
    norms = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    of_norms = sum(p.numel() for norm in norms for p in norm.parameters())

    assert sum(p.numel() for p in network.parameters()) - of_norms == 29_433_483
    assert of_norms == 15_872


def test_it_has_26_convolutions_and_ends_without_a_normalization() -> None:
    """13 down and 13 up.

    Seeds: D2.
    """
    with torch.device("meta"):
        network = SegNet(3, 11)
    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.BatchNorm2d)]

    assert sum(isinstance(layer, nn.Conv2d) for layer in layers) == 26
    assert isinstance(layers[-1], nn.Conv2d)
    assert layers[-1].kernel_size == (3, 3)


def test_sizes_are_kept() -> None:
    network = SegNet(2, 3, base_channels=1)

    assert network(torch.zeros(1, 2, 32, 96)).shape == (1, 3, 32, 96)
    assert network.output_size(96) == 96 == network.input_size(65)
