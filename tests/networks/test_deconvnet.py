"""Constants of ``stage_2_train.prototxt`` of the authors' DeconvNet."""

import pytest
import torch
from torch import nn

from segpipe.networks.deconvnet import DeconvNet
from segpipe.project.errors import DataError


def test_the_papers_network_has_251_772_245_weights() -> None:
    """The paper says about 252 million; 33,408 more are of batch normalization.

    Seeds: D1.
    """
    with torch.device("meta"):
        network = DeconvNet(3, 21)
    norms = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    of_norms = sum(p.numel() for norm in norms for p in norm.parameters())

    assert sum(p.numel() for p in network.parameters()) - of_norms == 251_772_245
    assert of_norms == 33_408


def test_224_pixels_become_7_and_1_and_7_and_224() -> None:
    """Seeds: D1."""
    sizes: list[int] = []
    with torch.device("meta"):
        network = DeconvNet(3, 21)
        watched = [*network.encoder, *network.middle[::3], *network.decoder]
        for layer in watched:
            layer.register_forward_hook(lambda _, __, out: sizes.append(out.shape[-1]))
        logits = network(torch.zeros(2, 3, 224, 224))

    assert sizes == [224, 112, 56, 28, 14, 1, 1, 7, 14, 28, 56, 112, 224]
    assert logits.shape == (2, 21, 224, 224)


def test_sizes_are_kept_from_224_on() -> None:
    network = DeconvNet(2, 3, base_channels=1)

    assert network(torch.zeros(1, 2, 224, 256)).shape == (1, 3, 224, 256)
    assert network.output_size(256) == 256 == network.input_size(225)
    assert network.input_size(1) == 224
    with pytest.raises(DataError, match="at least 224, found 192"):
        network.output_size(192)
