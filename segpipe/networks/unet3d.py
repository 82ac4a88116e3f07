"""3D U-Net: Çiçek, Abdulkadir, Lienkamp, Brox, Ronneberger 2016, arXiv:1606.06650."""

from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from segpipe.networks.layers import (
    Conv3d,
    CurrentStatisticsNorm,
    Padding,
    SizeRule,
    crop_like,
    initialize,
)


class UNet3d(nn.Module):
    """The 3-D U-Net of figure 2: 19,069,955 parameters of (up-)convolutions.

    Three times two 3 x 3 x 3 convolutions and a 2 x 2 x 2 max-pooling; channels double
    in the second convolution, before the pooling, against bottlenecks. Up again by
    2 x 2 x 2 up-convolutions (without bias, which gives the paper's count), with
    batch normalization before each ReLU.

    Args:
        in_channels: Channels of the image.
        out_channels: Classes, background included.
        base_channels: Channels of the first convolution; the paper has 32.
        padding: ``valid`` as in the paper (132 -> 44), or ``same`` (sizes of 8 m).
    """

    dimensions: ClassVar[Literal[2, 3]] = 3
    stride: ClassVar[int] = 8
    sees_tile_statistics: ClassVar[bool] = True  # section 2: no running means
    paddings: ClassVar[tuple[Padding, ...]] = ("valid", "same")

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        base_channels: int = 32,
        padding: Padding = "valid",
    ) -> None:
        super().__init__()
        valid = padding == "valid"
        self.sizes = SizeRule(
            "unet3d",
            stride=self.stride,
            offset=4 if valid else 0,
            margin=44 if valid else 0,
        )
        self.margin = self.sizes.margin
        self.output_size = self.sizes.output_size
        self.input_size = self.sizes.input_size
        pad = 0 if valid else 1
        widths = [2 * base_channels * 2**level for level in range(4)]
        self.down = nn.ModuleList(
            _convolutions(before, width // 2, width, pad)
            for before, width in zip([in_channels, *widths[:-1]], widths, strict=True)
        )
        self.up = nn.ModuleList(
            nn.ConvTranspose3d(2 * width, 2 * width, 2, stride=2, bias=False)
            for width in widths[-2::-1]
        )
        self.merge = nn.ModuleList(
            _convolutions(3 * width, width, width, pad) for width in widths[-2::-1]
        )
        self.classify = nn.Conv3d(widths[0], out_channels, 1)
        self.pool = nn.MaxPool3d(2)
        initialize(self)

    def forward(
        self, image: Float[Tensor, "B C i j k"]
    ) -> Float[Tensor, "B K oi oj ok"]:
        """Logits of each class."""
        skips, features = [], image
        for level, convolutions in enumerate(self.down):
            features = convolutions(features if level == 0 else self.pool(features))
            skips.append(features)
        skips.pop()
        for up, merge in zip(self.up, self.merge, strict=True):
            features = up(features)
            skip = crop_like(skips.pop(), features)
            features = merge(torch.cat([skip, features], dim=1))
        logits: Tensor = self.classify(features)
        return logits


def _convolutions(before: int, between: int, after: int, pad: int) -> nn.Sequential:
    return nn.Sequential(
        Conv3d(before, between, 3, padding=pad),
        CurrentStatisticsNorm(between),
        nn.ReLU(inplace=True),
        Conv3d(between, after, 3, padding=pad),
        CurrentStatisticsNorm(after),
        nn.ReLU(inplace=True),
    )
