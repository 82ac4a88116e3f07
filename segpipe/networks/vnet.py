"""V-Net: Milletari, Navab, Ahmadi 2016, arXiv:1606.04797."""

from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from segpipe.networks.layers import Conv3d, Padding, SizeRule, initialize

DOWN = (1, 2, 3, 3, 3)  # 5 x 5 x 5 convolutions a stage, as table 1's fields demand
UP = (3, 3, 2, 1)


class VNet(nn.Module):
    """The residual V-Net of figure 2: 65,175,314 parameters with 1 and 2 channels.

    Stages of padded 5 x 5 x 5 convolutions, the stage's input added to its last one;
    2 x 2 x 2 convolutions of stride 2 down and up; PReLU throughout. Neither pooling
    nor normalization nor dropout.

    Args:
        in_channels: Channels of the image, repeated cyclically to base_channels for the
            first stage's residual (the paper has one channel).
        out_channels: Classes, background included.
        base_channels: Channels of the first stage; the paper has 16.
    """

    dimensions: ClassVar[Literal[2, 3]] = 3
    stride: ClassVar[int] = 16
    margin: ClassVar[int] = 0
    sees_tile_statistics: ClassVar[bool] = False
    paddings: ClassVar[tuple[Padding, ...]] = ("same",)

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        base_channels: int = 16,
        padding: Padding = "same",  # not read: the paper pads always
    ) -> None:
        super().__init__()
        self.sizes = SizeRule("vnet", stride=self.stride, offset=0, margin=0)
        self.output_size = self.sizes.output_size
        self.input_size = self.sizes.input_size
        widths = [base_channels * 2**level for level in range(5)]
        self.base_channels = base_channels
        self.stages = nn.ModuleList(
            _Stage(in_channels if level == 0 else width, width, DOWN[level])
            for level, width in enumerate(widths)
        )
        self.shrink = nn.ModuleList(
            _Resize(nn.Conv3d(width, 2 * width, 2, stride=2)) for width in widths[:-1]
        )
        # Up to half the channels of the next stage; the left side gives the other half.
        self.grow = nn.ModuleList(
            _Resize(nn.ConvTranspose3d(before, width, 2, stride=2))
            for before, width in zip(
                [widths[4], widths[4], widths[3], widths[2]],
                widths[-2::-1],
                strict=True,
            )
        )
        self.unite = nn.ModuleList(
            _Stage(2 * width, 2 * width, count)
            for width, count in zip(widths[-2::-1], UP, strict=True)
        )
        self.classify = nn.Conv3d(2 * base_channels, out_channels, 1)
        initialize(self)

    def forward(self, image: Float[Tensor, "B C i j k"]) -> Float[Tensor, "B K i j k"]:
        """Logits of each class."""
        places = [n % image.shape[1] for n in range(self.base_channels)]
        features = self.stages[0](image, residual=image[:, places])
        skips = []
        for shrink, stage in zip(self.shrink, list(self.stages)[1:], strict=True):
            skips.append(features)
            features = stage(shrink(features))
        for grow, stage in zip(self.grow, self.unite, strict=True):
            features = stage(torch.cat([grow(features), skips.pop()], dim=1))
        logits: Tensor = self.classify(features)
        return logits


class _Stage(nn.Module):
    """Convolutions with PReLU between, the input added before the last PReLU."""

    def __init__(self, before: int, width: int, count: int) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            Conv3d(before if n == 0 else width, width, 5, padding=2)
            for n in range(count)
        )
        self.activations = nn.ModuleList(nn.PReLU(width) for _ in range(count))

    def forward(self, features: Tensor, residual: Tensor | None = None) -> Tensor:
        """The stage's output; its residual is its input unless another is given."""
        residual = features if residual is None else residual
        last = len(self.convolutions) - 1
        for n, convolution in enumerate(self.convolutions):
            features = convolution(features)
            if n == last:
                features = features + residual
            features = self.activations[n](features)
        return features


class _Resize(nn.Module):
    """A (transposed) convolution of stride 2 with PReLU."""

    def __init__(self, convolution: nn.Conv3d | nn.ConvTranspose3d) -> None:
        super().__init__()
        self.convolution = convolution
        self.activation = nn.PReLU(convolution.out_channels)

    def forward(self, features: Tensor) -> Tensor:
        """Half or twice the size along each axis."""
        resized: Tensor = self.activation(self.convolution(features))
        return resized
