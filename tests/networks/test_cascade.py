"""Figures 1 and 2 of Havaei 2017, arXiv:1505.03540."""

import pytest
import torch
from torch import nn

from segpipe.networks.cascade import CascadeNetwork, Maxout
from segpipe.networks.inputcascade import InputCascade
from segpipe.networks.twopath import TwoPath
from tests.support.discs import learn_disc


def kernels_of(module: nn.Module) -> int:
    """Weights without biases."""
    return sum(p.numel() for p in module.parameters() if p.ndim > 1)


def wide_awake(network: CascadeNetwork) -> CascadeNetwork:
    """In use, in float64, with weights of a size at which logits differ."""
    network = network.double().eval()
    for weight in network.parameters():
        nn.init.uniform_(weight, -0.1, 0.1)
    return network


def test_maxout_takes_the_largest_of_its_pieces() -> None:
    layer = Maxout(1, 2, 1, pieces=3)
    layer.convolution.weight.data = torch.arange(6.0).view(6, 1, 1, 1) - 2
    layer.convolution.bias.data.zero_()

    found = layer(torch.tensor([[[[1.0, -1.0]]]]))[0, :, 0]

    assert found.tolist() == [[0.0, 2.0], [3.0, -1.0]]


@pytest.mark.parametrize(("pieces", "count"), [(1, 651_488), (2, 809_056)])
def test_the_two_paths_have_the_papers_weights(pieces: int, count: int) -> None:
    """The figure counts one kernel for each maxout; with two it is 809,056.

    Seeds: I5.
    """
    with torch.device("meta"):
        network = TwoPath(4, 5, pieces=pieces)

    assert kernels_of(network) == count


def test_the_second_paths_of_the_cascade_have_802_368_weights() -> None:
    """They see 4 channels and 5 probabilities.

    Seeds: I5.
    """
    with torch.device("meta"):
        network = InputCascade(4, 5, pieces=1)

    assert network.second is not None
    assert kernels_of(network.second) == 802_368
    assert kernels_of(network.first) == 651_488


def test_33_pixels_give_one_and_65_give_33_and_then_one() -> None:
    """Seeds: I5."""
    with torch.device("meta"):
        alone, cascade = TwoPath(4, 5), InputCascade(4, 5)
        patch, larger = torch.zeros(1, 4, 33, 33), torch.zeros(1, 4, 65, 65)
        assert alone.first.local(patch).shape == (1, 64, 21, 21)
        assert alone.first.wide(patch).shape == (1, 160, 21, 21)
        assert alone(patch).shape == (1, 5, 1, 1)
        assert cascade.first(larger).shape == (1, 5, 33, 33)
        assert cascade(larger).shape == (1, 5, 1, 1)
    assert alone.input_size(1) == 33
    assert cascade.input_size(1) == 65


@pytest.mark.parametrize("kind", [TwoPath, InputCascade])
def test_an_image_gives_what_each_of_its_patches_gives(
    kind: type[CascadeNetwork],
) -> None:
    """Seeds: I5."""
    torch.manual_seed(0)
    network = wide_awake(kind(2, 3, base_channels=2))
    side = network.input_size(1)
    image = torch.randn(1, 2, side + 3, side + 5, dtype=torch.float64)

    with torch.no_grad():
        whole = network(image)
        for i, j in ((0, 0), (3, 5), (2, 1)):
            patch = network(image[:, :, i : i + side, j : j + side])
            torch.testing.assert_close(patch[..., 0, 0], whole[..., i, j])


def test_the_second_paths_see_the_image_and_the_first_probabilities() -> None:
    torch.manual_seed(0)
    network = wide_awake(InputCascade(2, 3, base_channels=1))
    image, seen = torch.randn(1, 2, 65, 65, dtype=torch.float64), []
    assert network.second is not None
    network.second.register_forward_pre_hook(lambda _, given: seen.append(given[0]))

    with torch.no_grad():
        network(image)

    assert seen[0].shape == (1, 5, 33, 33)
    assert torch.equal(seen[0][:, :2], image[:, :, 16:-16, 16:-16])
    torch.testing.assert_close(seen[0][:, 2:].sum(1), torch.ones_like(seen[0][:, 0]))


@pytest.mark.parametrize("kind", [TwoPath, InputCascade])
def test_same_padding_keeps_sizes_and_changes_nothing_inside(
    kind: type[CascadeNetwork],
) -> None:
    torch.manual_seed(0)
    valid = wide_awake(kind(1, 2, base_channels=1))
    same = kind(1, 2, base_channels=1, padding="same").double().eval()
    same.load_state_dict(valid.state_dict())
    image = torch.randn(1, 1, 70, 71, dtype=torch.float64)

    with torch.no_grad():
        inner, found = valid(image), same(image)

    m = valid.margin
    assert found.shape == (1, 2, 70, 71)
    torch.testing.assert_close(found[:, :, m:-m, m:-m], inner)


@pytest.mark.parametrize(("kind", "steps"), [(TwoPath, 15), (InputCascade, 10)])
def test_it_learns_a_disc_by_heart(kind: type[CascadeNetwork], steps: int) -> None:
    torch.manual_seed(0)
    network = kind(1, 2, base_channels=2, padding="same")

    assert learn_disc(network, steps=steps, learning_rate=0.02) > 0.8
