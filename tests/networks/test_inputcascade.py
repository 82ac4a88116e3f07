import torch

from segpipe.networks.inputcascade import InputCascade


def test_every_announced_size_is_what_comes_out() -> None:
    network = InputCascade(2, 3, base_channels=1)
    for size in (65, 66, 78):
        out = network(torch.zeros(1, 2, size, size)).shape[-1]

        assert out == network.output_size(size) == size - 2 * network.margin
