import pytest
import torch

from segpipe.networks.context_large import ContextLarge


@pytest.mark.parametrize(("size", "expected"), [(380, 8), (388, 16), (500, 128)])
def test_every_announced_size_is_what_comes_out(size: int, expected: int) -> None:
    with torch.device("meta"):
        network, image = (
            ContextLarge(2, 3, base_channels=1),
            torch.empty(1, 2, size, size),
        )

    assert network(image).shape == (1, 3, expected, expected)
    assert network.output_size(size) == expected == size - 2 * network.margin


def test_same_padding_keeps_sizes() -> None:
    network = ContextLarge(1, 2, base_channels=1, padding="same")

    assert network(torch.zeros(2, 1, 16, 24)).shape == (2, 2, 16, 24)
    assert network.output_size(24) == 24
