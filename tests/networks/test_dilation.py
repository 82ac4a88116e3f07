"""Constants of Yu and Koltun 2016, arXiv:1511.07122, and of the public code."""

import itertools

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from segpipe.networks.context import Context
from segpipe.networks.context_large import ContextLarge
from segpipe.networks.dilated import Dilated
from segpipe.networks.dilation import (
    CONTEXT,
    ContextModule,
    DilatedConv2d,
    DilatedNetwork,
    front_end,
    pass_on,
)
from tests.support.discs import learn_disc

JUNK = [10**n for n in range(2, 7)]  # sizes of tensors


def weights_of(module: nn.Module) -> int:
    """Weights without biases."""
    return sum(p.numel() for p in module.parameters() if p.ndim > 1)


@pytest.mark.parametrize("dilation", [1, 2, 4, 5])
def test_a_dilated_convolution_is_one_with_zeros_inserted(dilation: int) -> None:
    """In float64, to the bit; the filter 3 x 3 grows to 2 l + 1 on each side.

    Seeds: C1.
    """
    generator = torch.Generator().manual_seed(dilation)
    drawn = {"generator": generator, "dtype": torch.float64}
    image, kernel = torch.randn(2, 3, 23, 19, **drawn), torch.randn(4, 3, 3, 3, **drawn)
    sparse = torch.zeros(4, 3, 2 * dilation + 1, 2 * dilation + 1, dtype=torch.float64)
    sparse[:, :, ::dilation, ::dilation] = kernel

    found = F.conv2d(image, kernel, dilation=dilation)

    torch.testing.assert_close(found, F.conv2d(image, sparse), rtol=0, atol=1e-13)


def test_a_dilated_convolution_is_the_papers_sum() -> None:
    """Equation 2 at one place, by hand; k(t) of F *_l k turned as in every network.

    Seeds: C1.
    """
    image = torch.arange(81, dtype=torch.float64).view(1, 1, 9, 9)
    kernel = torch.tensor([[1, 2, 3], [4, 5, 6], [7, 8, 9]], dtype=torch.float64)

    found = F.conv2d(image, kernel[None, None], dilation=3)[0, 0, 1, 2]

    around = itertools.product(range(3), repeat=2)
    expected = sum(image[0, 0, 1 + 3 * i, 2 + 3 * j] * kernel[i, j] for i, j in around)
    assert found == expected


@pytest.mark.parametrize("channels", [17, 21, 24, 32])
def test_bf16_gradients_of_dilated_convolutions_are_those_of_float32(
    channels: int,
) -> None:
    """Memory that was not initialized holds NaN here, which oneDNN would pass on."""
    torch.manual_seed(0)
    layer = DilatedConv2d(channels, 8, 3, dilation=4)
    layer.to(memory_format=torch.channels_last)
    image = torch.randn(1, channels, 59, 59).to(memory_format=torch.channels_last)
    found = []
    for bf16 in (False, True, True, True):
        layer.zero_grad()
        junk = [torch.full((size,), torch.nan) for size in JUNK for _ in range(20)]
        del junk
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            maps = layer(image)
        maps.float().square().sum().backward()
        assert layer.weight.grad is not None
        found.append(layer.weight.grad.clone())

    largest = float(found[0].abs().max())
    for gradient in found[1:]:
        torch.testing.assert_close(gradient, found[0], rtol=0, atol=0.02 * largest)


@pytest.mark.parametrize("variant", ["basic", "large"])
def test_the_fields_of_the_context_module_are_those_of_table_1(variant: str) -> None:
    """Where a change of the input reaches the middle of the output.

    Seeds: C2.
    """
    module = ContextModule(1, variant)
    fields = []
    for count in range(1, 9):
        maps = torch.ones(1, 1, 81, 81, requires_grad=True)
        found = maps
        for layer in list(module.layers)[:count]:
            nn.init.constant_(layer.weight, 0.01)
            found = layer(found)
        found[0, :, found.shape[2] // 2, found.shape[3] // 2].sum().backward()
        assert maps.grad is not None
        touched = maps.grad[0, 0].nonzero()
        fields.append(int(touched.max() - touched.min()) + 1)

    assert fields == [3, 5, 9, 17, 33, 65, 67, 67]


def test_the_dilations_are_those_of_table_1() -> None:
    module = ContextModule(3)

    assert CONTEXT == (1, 1, 2, 4, 8, 16, 1)
    assert [layer.kernel_size for layer in module.layers] == [(3, 3)] * 7 + [(1, 1)]
    assert [layer.dilation[0] for layer in module.layers] == [*CONTEXT, 1]


@pytest.mark.parametrize("channels", [2, 21])
@pytest.mark.parametrize(("variant", "squares"), [("basic", 64), ("large", 15_422)])
def test_the_weights_of_the_context_module_are_multiples_of_the_square_of_c(
    variant: str, squares: int, channels: int
) -> None:
    """The paper says about 64 C^2; biases left out it is exact.

    Seeds: C2.
    """
    with torch.device("meta"):
        module = ContextModule(channels, variant)

    assert weights_of(module) == squares * channels**2


@pytest.mark.parametrize("variant", ["basic", "large"])
def test_a_new_context_module_passes_maps_on(variant: str) -> None:
    """Without noise, to the bit: all its factors are powers of 2.

    Negative values are cut at 0.

    Seeds: C2.
    """
    module = ContextModule(3, variant, noise=0.0)
    maps = torch.randn(2, 3, 11, 70, generator=torch.Generator().manual_seed(0))

    torch.testing.assert_close(module(maps), maps.clamp(min=0), rtol=1e-6, atol=1e-6)


def test_the_large_module_begins_with_noise_around_what_it_passes_on() -> None:
    """C / c' at the centre of channels of the same owner; else N(0, 0.01)."""
    torch.manual_seed(0)
    layer = nn.Conv2d(4, 8, 3)

    pass_on(layer, 2, noise=0.01)

    centre = layer.weight[:, :, 1, 1].detach()
    owners = torch.zeros(8, 4, dtype=torch.bool)
    owners[:4, :2], owners[4:, 2:] = True, True
    assert (centre[owners] == 2 / 8).all()
    others = torch.cat([centre[~owners], layer.weight[:, :, 0].detach().flatten()])
    assert 0.005 < float(others.std()) < 0.015
    assert not layer.bias.any()


@pytest.mark.parametrize(("size", "expected"), [(500, 16), (628, 32), (900, 66)])
def test_the_front_end_gives_the_papers_sizes(size: int, expected: int) -> None:
    """Seeds: C3."""
    with torch.device("meta"):
        front, image = front_end(3, 21, 64, padded=False), torch.empty(1, 3, size, size)

    assert front(image).shape == (1, 21, expected, expected)


def test_the_front_end_has_the_weights_of_the_vgg16_that_it_keeps() -> None:
    """134,346,581 with 21 classes, as FCN-32s: poolings and dilations have none.

    Seeds: C3.
    """
    with torch.device("meta"):
        front = front_end(3, 21, 64, padded=False)
    poolings = [layer for layer in front if isinstance(layer, nn.MaxPool2d)]

    assert sum(p.numel() for p in front.parameters()) == 134_346_581
    assert len(poolings) == 3
    assert [layer.dilation[0] for layer in front if isinstance(layer, nn.Conv2d)] == [
        *[1] * 10,
        *[2] * 3,
        4,
        1,
        1,
    ]


def test_padding_changes_nothing_where_it_is_not_seen() -> None:
    """The cell in the middle of 3 x 3, whose field of 380 pixels the image covers.

    The cells of both networks lie on each other if the image of one begins at 2.
    """
    torch.manual_seed(0)
    valid, same = (Dilated(1, 2, base_channels=1, padding=p) for p in ("valid", "same"))
    same.load_state_dict(valid.state_dict())
    image = torch.randn(1, 1, 396, 396)

    with torch.no_grad():
        expected = valid.eval().front(image)
        found = same.eval().front(image[:, :, 2:-2, 2:-2])

    assert expected.shape == (1, 2, 3, 3)
    torch.testing.assert_close(found[:, :, 24, 24], expected[:, :, 1, 1])


@pytest.mark.parametrize(
    ("kind", "steps"), [(Dilated, 60), (Context, 80), (ContextLarge, 120)]
)
def test_it_learns_a_disc_by_heart(kind: type[DilatedNetwork], steps: int) -> None:
    """As well as cells of 8 pixels allow."""
    torch.manual_seed(0)
    network = kind(1, 2, base_channels=4, padding="same")

    assert learn_disc(network, steps=steps, learning_rate=0.003) > 0.8
