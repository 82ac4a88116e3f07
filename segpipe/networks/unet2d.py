"""U-Net: Ronneberger, Fischer, Brox 2015, arXiv:1505.04597."""

from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from segpipe.networks.layers import Padding, SizeRule, Skips, crop_like, initialize


class UNet2d(nn.Module):
    """The 2-D U-Net of figure 1: 23 convolutional layers.

    Four times two 3 x 3 convolutions with ReLU and a 2 x 2 max-pooling, channels
    doubling from base_channels; up again by 2 x 2 up-convolutions that halve the
    channels, each followed by the concatenation of the cropped features of its level.

    Args:
        in_channels: Channels of the image.
        out_channels: Classes, background included.
        base_channels: Channels of the first level; the paper has 64.
        padding: ``valid`` as in the paper (572 -> 388), or ``same`` (sizes of 16 m).
        dropout: Probability at the end of the contracting path. The paper gives no
            rate; the authors' released network has 0.5, on the last two levels.
        skips: How the features of a level join those that come up:
            ``concatenation`` as in the paper, or ``addition``.
    """

    dimensions: ClassVar[Literal[2, 3]] = 2
    stride: ClassVar[int] = 16
    sees_tile_statistics: ClassVar[bool] = False
    paddings: ClassVar[tuple[Padding, ...]] = ("valid", "same")
    takes_skips: ClassVar[bool] = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        base_channels: int = 64,
        padding: Padding = "valid",
        dropout: float = 0.5,
        skips: Skips = "concatenation",
    ) -> None:
        super().__init__()
        self.skips = skips
        joined = 2 if skips == "concatenation" else 1
        valid = padding == "valid"
        self.sizes = SizeRule(
            "unet2d",
            stride=self.stride,
            offset=12 if valid else 0,
            margin=92 if valid else 0,
        )
        self.margin = self.sizes.margin
        self.output_size = self.sizes.output_size
        self.input_size = self.sizes.input_size
        pad = 0 if valid else 1
        widths = [base_channels * 2**level for level in range(5)]
        self.down = nn.ModuleList(
            _convolutions(before, after, pad)
            for before, after in zip([in_channels, *widths[:-1]], widths, strict=True)
        )
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(2 * width, width, 2, stride=2)
            for width in widths[-2::-1]
        )
        self.merge = nn.ModuleList(
            _convolutions(joined * width, width, pad) for width in widths[-2::-1]
        )
        self.classify = nn.Conv2d(base_channels, out_channels, 1)
        self.pool = nn.MaxPool2d(2)
        self.dropout = nn.Dropout(dropout)
        initialize(self)

    def forward(self, image: Float[Tensor, "B C i j"]) -> Float[Tensor, "B K oi oj"]:
        """Logits of each class."""
        skips, features = [], image
        for level, convolutions in enumerate(self.down):
            features = convolutions(features if level == 0 else self.pool(features))
            if level >= 3:
                features = self.dropout(features)
            skips.append(features)
        skips.pop()
        for up, merge in zip(self.up, self.merge, strict=True):
            features = up(features)
            skip = crop_like(skips.pop(), features)
            if self.skips == "addition":
                features = merge(skip + features)
            else:
                features = merge(torch.cat([skip, features], dim=1))
        logits: Tensor = self.classify(features)
        return logits


def _convolutions(before: int, after: int, pad: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, padding=pad),
        nn.ReLU(inplace=True),
        nn.Conv2d(after, after, 3, padding=pad),
        nn.ReLU(inplace=True),
    )
