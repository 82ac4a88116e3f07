"""The pyramid: its sizes, and the parameters of ResNet-50 with a feature pyramid."""

import torch

from segpipe.networks.fpn import Pyramid


def test_it_has_the_parameters_of_resnet_50_and_of_its_pyramid() -> None:
    """torchvision's resnet50 has 25,557,032, of which 2,049,000 classify.

    The pyramid: 1 x 1 from 256, 512, 1024 and 2048 channels to 256, then 3 x 3 each.
    """
    with torch.device("meta"):
        network = Pyramid(3, 64)

    resnet = 25_557_032 - 2_049_000
    lateral = (256 + 512 + 1024 + 2048) * 256 + 4 * 256
    smooth = 4 * (256 * 256 * 9 + 256)
    found = sum(weights.numel() for weights in network.parameters())
    assert found == resnet + lateral + smooth


def test_each_level_has_half_the_features_of_the_one_before() -> None:
    with torch.device("meta"):
        levels = Pyramid(1, 4)(torch.zeros(2, 1, 96, 64))

    sizes = [(48, 32), (24, 16), (12, 8), (6, 4), (3, 2)]
    assert [level.shape for level in levels] == [(2, 16, *size) for size in sizes]
    assert Pyramid.strides == tuple(96 // size[0] for size in sizes)
