"""FCN-16s: its parameters, and that it begins as FCN-32s ends."""

import torch
from torch import Tensor, nn

from segpipe.networks.fcn16s import FCN16s
from segpipe.networks.upsampling import bilinear


def test_it_adds_the_scores_of_pool4_and_the_up_sampling_to_fcn32s() -> None:
    """512 x 21 + 21 weights, and a kernel of 4 x 4 pixels for each pair of classes.

    Seeds: F5.
    """
    with torch.device("meta"):
        network = FCN16s(3, 21)

    added = 10_773 + 21 * 21 * 4 * 4
    assert sum(p.numel() for p in network.parameters()) == 134_346_581 + added


def test_at_first_the_sums_are_the_up_sampled_scores() -> None:
    """Since the scores of the poolings are zero.

    Seeds: F5, F6.
    """
    torch.manual_seed(0)
    network = FCN16s(1, 3, base_channels=2, padding="same", dropout=0.0).eval()
    nn.init.normal_(network.score.weight)
    sums: list[Tensor] = []
    network.enlarge.register_forward_hook(lambda _, given, __: sums.append(given[0]))
    scores: list[Tensor] = []
    network.score.register_forward_hook(lambda _, __, output: scores.append(output))
    network(torch.rand(1, 1, 160, 160))

    assert torch.equal(sums[0], network.twice[0](scores[0]))
    inside = (..., slice(1, -1), slice(1, -1))
    assert torch.allclose(sums[0][inside], bilinear(scores[0], 2)[inside], atol=1e-5)
