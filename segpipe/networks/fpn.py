"""A residual network and its feature pyramid: what Mask R-CNN sees an image by."""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from segpipe.networks.layers import Conv2d
from segpipe.networks.switches import RunningNorm

BLOCKS = (3, 4, 6, 3)  # of ResNet-50
WIDEN = 4  # channels of a stage, by those of its narrow convolutions


class Bottleneck(nn.Module):
    """Convolutions of 1, 3 and 1 pixels beside what passes them by.

    Args:
        before: Channels of the input.
        narrow: Channels of the 3 x 3 convolution; the output has four times as many.
        stride: Stride of the 3 x 3 convolution.

    Source:
        He 2016, arXiv:1512.03385, section 4.1; the stride in the 3 x 3 convolution, as
        in the public implementations.
    """

    def __init__(self, before: int, narrow: int, stride: int) -> None:
        super().__init__()
        after = WIDEN * narrow
        self.layers = nn.Sequential(
            nn.Conv2d(before, narrow, 1, bias=False),
            RunningNorm(narrow),
            nn.ReLU(inplace=True),
            nn.Conv2d(narrow, narrow, 3, stride=stride, padding=1, bias=False),
            RunningNorm(narrow),
            nn.ReLU(inplace=True),
            nn.Conv2d(narrow, after, 1, bias=False),
            RunningNorm(after),
        )
        self.beside: nn.Module = nn.Identity()
        if stride > 1 or before != after:
            self.beside = nn.Sequential(
                Conv2d(before, after, 1, stride=stride, bias=False),
                RunningNorm(after),
            )

    def forward(self, features: Float[Tensor, "B C i j"]) -> Tensor:
        """The sum of both."""
        return F.relu(self.layers(features) + self.beside(features))


class Pyramid(nn.Module):
    """ResNet-50 without the pooling of its stem, and a feature pyramid of five levels.

    Args:
        in_channels: Channels of the image.
        base_channels: Channels of the stem; 64 in the paper. The levels have four times
            as many.

    Attributes:
        strides: Pixels of the image that a feature of each level covers.

    Source:
        Lin 2017, arXiv:1612.03144, sections 3 and 4.1 (the last level is every second
        feature of the one before). Why without pooling:
        docs/decisions/0032-mask-r-cnn.md.
    """

    strides = (2, 4, 8, 16, 32)

    def __init__(self, in_channels: int, base_channels: int) -> None:
        super().__init__()
        wide = WIDEN * base_channels
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, base_channels, 7, stride=2, padding=3, bias=False),
            RunningNorm(base_channels),
            nn.ReLU(inplace=True),
        )
        self.stages = nn.ModuleList()
        self.lateral = nn.ModuleList()
        self.smooth = nn.ModuleList()
        before = base_channels
        for level, count in enumerate(BLOCKS):
            narrow, blocks = base_channels * 2**level, []
            for number in range(count):
                stride = 2 if level and not number else 1
                blocks.append(Bottleneck(before, narrow, stride))
                before = WIDEN * narrow
            self.stages.append(nn.Sequential(*blocks))
            self.lateral.append(nn.Conv2d(before, wide, 1))
            self.smooth.append(nn.Conv2d(wide, wide, 3, padding=1))

    def forward(self, image: Float[Tensor, "B C i j"]) -> list[Tensor]:
        """The features of each level, the finest first."""
        features, found = self.stem(image), []
        for stage, lateral in zip(self.stages, self.lateral, strict=True):
            features = stage(features)
            found.append(lateral(features))
        for level in range(len(found) - 2, -1, -1):
            above = F.interpolate(found[level + 1], scale_factor=2.0, mode="nearest")
            found[level] = found[level] + above
        levels: list[Tensor] = [
            smooth(one) for smooth, one in zip(self.smooth, found, strict=True)
        ]
        return [*levels, levels[-1][:, :, ::2, ::2]]
