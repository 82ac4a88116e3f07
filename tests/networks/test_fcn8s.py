"""FCN-8s: its parameters, and the sum of three scores."""

import torch
from torch import nn

from segpipe.networks.fcn8s import FCN8s


def test_it_adds_the_scores_of_both_poolings_and_the_up_sampling_to_fcn32s() -> None:
    """Seeds: F5."""
    with torch.device("meta"):
        network = FCN8s(3, 21)

    added = 10_773 + 5397 + 2 * 21 * 21 * 4 * 4
    assert sum(p.numel() for p in network.parameters()) == 134_346_581 + added


def test_scores_are_summed_and_each_reaches_the_logits() -> None:
    """By a constant score of each layer alone, and of all: real sums, no maximum.

    Seeds: F5.
    """
    network = FCN8s(1, 2, base_channels=1, padding="same").double().eval()
    image = torch.rand(1, 1, 256, 256, dtype=torch.float64)
    scores = [network.score, *network.skip_scores]
    found = []
    for chosen in ([0], [1], [2], [0, 1, 2]):
        for n, score in enumerate(scores):
            nn.init.constant_(score.bias, float(10**n) if n in chosen else 0.0)
        with torch.inference_mode():
            found.append(network(image)[0, 0, 128, 128].item())

    assert torch.allclose(torch.tensor(found), torch.tensor([1.0, 10, 100, 111]))
