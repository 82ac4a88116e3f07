"""The layers that the papers' networks share."""

import math

import pytest
import torch
from torch import nn

from segpipe.networks.layers import (
    Conv2d,
    Conv3d,
    CurrentStatisticsNorm,
    SizeRule,
    crop_like,
    initialize,
)
from segpipe.project.errors import DataError


@pytest.mark.parametrize(
    ("layer", "incoming"),
    [
        (nn.Conv2d(64, 512, 3), 64 * 9),
        (nn.Conv3d(16, 256, 5), 16 * 125),
        (nn.ConvTranspose2d(256, 128, 2, stride=2), 256),
        (nn.ConvTranspose3d(128, 64, 2, stride=2), 128),
    ],
    ids=lambda value: type(value).__name__,
)
def test_weights_are_normal_with_variance_two_over_the_incoming_nodes(
    layer: nn.Module, incoming: int
) -> None:
    """Seeds: N7."""
    torch.manual_seed(0)
    initialize(nn.Sequential(layer))
    weight = layer.weight

    assert isinstance(weight, torch.Tensor)
    assert weight.std().item() == pytest.approx(math.sqrt(2 / incoming), rel=0.02)
    assert abs(weight.mean().item()) < 3 * math.sqrt(2 / incoming / weight.numel())
    assert isinstance(layer.bias, torch.Tensor)
    assert not layer.bias.any()


def test_signals_keep_their_size_through_layers_with_relu() -> None:
    """The purpose of He's initialization: the second moment stays the same."""
    torch.manual_seed(0)
    layers = [nn.Sequential(nn.Conv2d(64, 64, 3), nn.ReLU()) for _ in range(8)]
    network = nn.Sequential(*layers)
    initialize(network)
    image = torch.randn(2, 64, 48, 48).relu()

    ratio = network(image).square().mean() / image.square().mean()
    assert 0.5 < ratio.item() < 2


def test_a_crop_is_the_centre() -> None:
    features = torch.arange(7.0).reshape(1, 1, 7)

    assert crop_like(features, torch.zeros(1, 1, 3)).flatten().tolist() == [2, 3, 4]
    assert crop_like(features, features) is features


def test_a_size_that_does_not_fit_is_answered_with_the_next() -> None:
    rule = SizeRule("unet2d", stride=16, offset=12, margin=92)

    assert rule.output_size(572) == 388
    assert rule.input_size(388) == 572
    assert rule.input_size(389) == 588
    with pytest.raises(DataError, match=r"16 m \+ 12.*found 570; the next is 572"):
        rule.output_size(570)
    with pytest.raises(DataError, match="at least 188"):
        rule.output_size(172)
    assert rule.smallest == 188


@pytest.mark.parametrize("size", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("kernel", [3, 5])
def test_the_gradient_of_a_bf16_convolution_is_right_for_short_axes(
    kernel: int, size: int
) -> None:
    """oneDNN's own gradient is random memory here. Eight channels do not show it."""
    torch.manual_seed(0)
    layer = Conv3d(32, 32, kernel, padding=kernel // 2)
    features = torch.randn(2, 32, size, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        layer(features).float().square().sum().backward()
    found = layer.weight.grad
    exact = nn.Conv3d(32, 32, kernel, padding=kernel // 2).double()
    exact.load_state_dict({k: v.double() for k, v in layer.state_dict().items()})
    exact(features.double()).square().sum().backward()
    expected = exact.weight.grad

    assert found is not None
    assert expected is not None
    assert (found - expected).norm() < 0.03 * expected.norm()


@pytest.mark.parametrize("training", [True, False])
def test_a_tile_is_normalized_by_itself_in_training_and_in_use(training: bool) -> None:
    """Nothing depends on the tiles that share its batch."""
    norm = CurrentStatisticsNorm(3).train(training)
    tiles = torch.randn(4, 3, 5, 6, 7) * torch.arange(1, 5).reshape(4, 1, 1, 1, 1)

    together, alone = norm(tiles), norm(tiles[2:3])
    assert torch.allclose(together[2:3], alone, atol=1e-6)
    assert together.mean(dim=(2, 3, 4)).abs().max() < 1e-5
    assert (together.var(dim=(2, 3, 4), unbiased=False) - 1).abs().max() < 1e-3
    alike = nn.BatchNorm3d(3, track_running_stats=False)(tiles[2:3])
    assert torch.allclose(alone, alike, atol=1e-5)  # the paper's batch of one


@pytest.mark.parametrize("batch", [1, 3])
def test_normalization_keeps_the_layout_of_the_convolutions(batch: int) -> None:
    """A feature map that is not channels last is copied by each convolution."""
    layout = torch.channels_last_3d
    tiles = torch.randn(batch, 3, 5, 6, 7).to(memory_format=layout).requires_grad_()

    normalized = CurrentStatisticsNorm(3)(tiles)
    (gradient,) = torch.autograd.grad(normalized.square().sum(), tiles)

    assert normalized.is_contiguous(memory_format=layout)
    assert gradient.is_contiguous(memory_format=layout)


@pytest.mark.parametrize("channels", [(4, 8), (3, 5)])
def test_a_stride_before_a_kernel_of_one_gives_the_same_sums(
    channels: tuple[int, int],
) -> None:
    """In float64, against the definition; torch's own overwrites memory here."""
    layer = Conv2d(*channels, 1, stride=2).double()
    features = torch.randn(2, channels[0], 7, 8, dtype=torch.float64)
    features.requires_grad_()
    found = layer(features)
    found.sum().backward()

    weight = layer.weight[:, :, 0, 0]
    assert layer.bias is not None
    sums = torch.einsum("oc,bcij->boij", weight, features[:, :, ::2, ::2])
    torch.testing.assert_close(found, sums + layer.bias[:, None, None])
    passed = torch.zeros_like(features)
    passed[:, :, ::2, ::2] = weight.detach().sum(0)[:, None, None]
    torch.testing.assert_close(features.grad, passed)
