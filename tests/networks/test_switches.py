import pytest
import torch
from torch import nn

from segpipe.networks.deconvnet import DeconvNet
from segpipe.networks.segnet import SegNet
from segpipe.networks.switches import RunningNorm, SwitchedNetwork
from tests.support.discs import learn_disc


def test_a_value_goes_back_to_where_its_maximum_stood() -> None:
    """With stages that do nothing, all but the maxima of the windows becomes 0."""
    nothing = [nn.Identity(), nn.Identity()]
    network = SwitchedNetwork(nothing, nn.Identity(), nothing)
    image = torch.zeros(1, 1, 8, 8)
    image[0, 0, 1, 2], image[0, 0, 6, 7], image[0, 0, 2, 2] = 5, 3, 1

    found = network(image)

    image[0, 0, 2, 2] = 0  # less than the 5 of its window of 4 x 4
    assert torch.equal(found, image)


def test_normalization_is_torchs_but_for_a_single_value() -> None:
    torch.manual_seed(0)
    own, torchs = RunningNorm(3), nn.BatchNorm2d(3)
    for features in (torch.randn(2, 3, 4, 5), torch.randn(2, 3, 1, 1)):
        assert torch.equal(own.train()(features), torchs.train()(features))
        assert torch.equal(own.eval()(features), torchs.eval()(features))
    alone = torch.randn(1, 3, 1, 1)

    assert torch.equal(own.train()(alone), torchs.eval()(alone))
    with pytest.raises(ValueError, match="more than 1 value"):
        torchs.train()(alone)


@pytest.mark.parametrize(
    ("kind", "width", "steps"), [(SegNet, 4, 60), (DeconvNet, 2, 40)]
)
def test_it_learns_a_disc_by_heart(
    kind: type[SegNet | DeconvNet], width: int, steps: int
) -> None:
    torch.manual_seed(0)
    network = kind(1, 2, base_channels=width)

    assert learn_disc(network, steps=steps, learning_rate=0.01) > 0.7


@pytest.mark.parametrize("kind", [SegNet, DeconvNet])
def test_gradients_reach_every_parameter(kind: type[SegNet | DeconvNet]) -> None:
    torch.manual_seed(0)
    network = kind(1, 2, base_channels=1)
    side = network.input_size(64)
    network(torch.randn(2, 1, side, side)).square().sum().backward()

    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        if parameter.ndim > 1:  # biases before a normalization change nothing
            assert parameter.grad.any(), name
