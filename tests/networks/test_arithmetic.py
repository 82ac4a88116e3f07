"""Formulas against what torch computes, and against published sizes."""

import itertools

import pytest
import torch
from torch.nn import functional

from segpipe.networks.arithmetic import (
    Window,
    convolved_size,
    receptive_field,
    transposed_size,
)

WINDOWS = [
    Window(kernel, stride, padding, dilation)
    for kernel, stride, padding, dilation in itertools.product(
        range(1, 5), range(1, 4), range(3), range(1, 3)
    )
    if padding < kernel
]


@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_sizes_are_those_that_torch_gives(window: Window) -> None:
    """Seeds: X3."""
    weight = torch.ones(1, 1, window.kernel)
    ways = {
        "stride": window.stride,
        "padding": window.padding,
        "dilation": window.dilation,
    }
    for size in range(3, 12):
        features = torch.ones(1, 1, size)
        if size + 2 * window.padding >= window.extent:
            found = functional.conv1d(features, weight, **ways).shape[-1]
            assert convolved_size(size, window) == found
        if transposed_size(size, window) > 0:
            found = functional.conv_transpose1d(features, weight, **ways).shape[-1]
            assert transposed_size(size, window) == found


@pytest.mark.parametrize("kernel", [2, 3])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("padding", [0, 1])
def test_a_pooling_that_rounds_up_has_the_sizes_of_torch(
    kernel: int, stride: int, padding: int
) -> None:
    for size in range(3, 12):
        pooled = functional.max_pool1d(
            torch.ones(1, 1, size), kernel, stride, padding, ceil_mode=True
        )
        window = Window(kernel, stride, padding)
        assert convolved_size(size, window, ceil=True) == pooled.shape[-1]


def test_a_transposed_convolution_takes_2_back_to_5() -> None:
    """The example of the seeds: 5 x 5 to 2 x 2 and back, and to 3 x 3 and back.

    Seeds: X3.
    """
    strided, plain = Window(3, stride=2), Window(3)

    assert convolved_size(5, strided) == 2
    assert transposed_size(2, strided) == 5
    assert convolved_size(5, plain) == 3
    assert transposed_size(3, plain) == 5


def test_the_output_padding_chooses_among_the_sizes_that_become_the_same() -> None:
    window = Window(3, stride=2, padding=1)

    assert convolved_size(7, window) == convolved_size(8, window) == 4
    assert transposed_size(4, window) == 7
    assert transposed_size(4, window, output_padding=1) == 8


def test_the_receptive_field_of_vgg16_to_fc7_is_404_pixels_at_stride_32() -> None:
    """Long 2015, arXiv:1411.4038, table 1."""
    convolution, pooling = Window(3, padding=1), Window(2, stride=2)
    layers = []
    for count in (2, 2, 3, 3, 3):
        layers += [convolution] * count + [pooling]
    layers += [Window(7), Window(1)]

    assert receptive_field(layers) == (404, 32)


def test_dilation_widens_the_field_as_a_kernel_with_zeros_does() -> None:
    assert receptive_field([Window(3, dilation=4)]) == receptive_field([Window(9)])
