"""Layers and rules that several of the papers share."""

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from segpipe.project.errors import DataError

Padding = Literal["valid", "same"]
Skips = Literal["concatenation", "addition"]
UpsamplingName = Literal[
    "nearest",
    "bed_of_nails",
    "max_unpooling",
    "bilinear",
    "transposed",
    "learned_bilinear",
]


def initialize(network: nn.Module) -> None:
    """Draw weights from N(0, sqrt(2 / N)) for N inputs of an output; biases are 0.

    For a transposed convolution whose kernel is as wide as its stride, each output
    gathers one kernel element of every input channel: N is in_channels, where torch's
    own fan-in would be out_channels times the kernel.

    Source:
        He 2015, arXiv:1502.01852, as used by Ronneberger 2015, arXiv:1505.04597,
        section 3.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Conv3d):
            incoming: float = layer.in_channels * math.prod(layer.kernel_size)
        elif isinstance(layer, nn.ConvTranspose2d | nn.ConvTranspose3d):
            overlap = math.prod(layer.kernel_size) / math.prod(layer.stride)
            incoming = layer.in_channels * overlap
        else:
            continue
        if layer.weight.is_meta:  # no values; torch would import its compiler for them
            continue
        nn.init.normal_(layer.weight, std=math.sqrt(2 / incoming))
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def crop_like(features: Float[Tensor, "..."], goal: Float[Tensor, "..."]) -> Tensor:
    """Cut the centre of a feature map to the spatial shape of another."""
    for axis in range(2, features.ndim):
        surplus = features.shape[axis] - goal.shape[axis]
        if surplus:
            features = features.narrow(axis, surplus // 2, goal.shape[axis])
    return features


class SizeRule:
    """Sizes that a network takes along an axis, and the sizes of its outputs.

    Attributes:
        stride: Total down-sampling.
        offset: Remainder: valid inputs are ``stride * m + offset``.
        margin: Voxels by which the output is smaller on each side.
    """

    def __init__(self, name: str, *, stride: int, offset: int, margin: int) -> None:
        self.name = name
        self.stride = stride
        self.offset = offset
        self.margin = margin

    @property
    def smallest(self) -> int:
        """The smallest input whose output has at least one voxel."""
        return self.input_size(1)

    def output_size(self, size: int) -> int:
        """Size of the output for a size of the input.

        Raises:
            DataError: If a pooling would meet an odd size, or no output would be left.
        """
        fits = (size - self.offset) % self.stride == 0
        if not fits or size < self.smallest:
            near = self.input_size(max(1, size - 2 * self.margin))
            raise DataError(
                f"{self.name}: expected a size {self.stride} m + {self.offset}, at "
                f"least {self.smallest}, found {size}; the next is {near}"
            )
        return size - 2 * self.margin

    def input_size(self, at_least: int) -> int:
        """The smallest valid input whose output has at least this size."""
        steps = math.ceil((at_least + 2 * self.margin - self.offset) / self.stride)
        return max(steps, 1) * self.stride + self.offset


class Conv3d(nn.Conv3d):
    """A convolution in float32 where bf16 on CPUs gives wrong gradients.

    oneDNN's bf16 gradient of the weights is garbage (random memory) where the first
    axis of the features is shorter than the kernel, as at the bottom of a network: seen
    with torch 2.13 on AVX512-BF16, docs/decisions/0005-precision.md. There, where
    features are smallest, this layer computes in float32.
    """

    def forward(self, features: Float[Tensor, "B C i j k"]) -> Tensor:
        """Convolve."""
        pairs = zip(features.shape[2:], self.kernel_size, strict=True)
        if features.device.type == "cpu" and any(n < k for n, k in pairs):
            with torch.autocast("cpu", enabled=False):
                return super().forward(features.float())
        return super().forward(features)


class Conv2d(nn.Conv2d):
    """A convolution whose stride comes before a kernel of 1 x 1: the same sums.

    With few channels, the last axis in memory, torch 2.13 writes the gradients of such
    a convolution beyond their memory on CPUs: a process ends, or goes on with what it
    overwrote.
    """

    def forward(self, features: Float[Tensor, "B C i j"]) -> Tensor:
        """Convolve."""
        if self.kernel_size != (1, 1) or self.stride == (1, 1) or any(self.padding):
            return super().forward(features)
        i, j = self.stride
        kept = features[..., ::i, ::j]
        return nn.functional.conv2d(kept, self.weight, self.bias, groups=self.groups)


class CurrentStatisticsNorm(nn.BatchNorm3d):
    """Normalization by the statistics of each input, in training and in use.

    The paper has batches of one, whose statistics are those of their input. In a batch
    of several, each input has its own: a network that learned with those of a batch
    would be used with others. The inputs go through batch normalization one by one,
    since torch's instance normalization gives up channels last, and the convolutions
    then copy every feature map.

    Source:
        Çiçek 2016, arXiv:1606.06650, section 2.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, track_running_stats=False)

    def forward(self, features: Float[Tensor, "B C i j k"]) -> Tensor:
        """Normalize, scale and shift each channel."""
        # A trace would keep the number of inputs.
        if torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
            return torch.nn.functional.instance_norm(
                features, weight=self.weight, bias=self.bias, eps=self.eps
            )
        parts = [nn.BatchNorm3d.forward(self, one) for one in torch.split(features, 1)]
        return parts[0] if len(parts) == 1 else torch.cat(parts)
