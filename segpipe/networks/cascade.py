"""Two paths and their cascade: Havaei et al. 2017, arXiv:1505.03540."""

from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from segpipe.networks.layers import Padding, SizeRule

BORDER = 16  # pixels that the two paths lose on each side: 33 become 1
DROPOUT = 0.5  # before the last layer; the paper gives neither rate nor place
BOUND = 0.005  # of the initial weights, section 3.3


class Maxout(nn.Module):
    """A convolution whose outputs are each the largest of several.

    Source:
        Goodfellow 2013, arXiv:1302.4389; figure 1 of Havaei 2017 has two pieces.
    """

    def __init__(self, before: int, after: int, kernel: int, pieces: int) -> None:
        super().__init__()
        self.pieces = pieces
        self.convolution = nn.Conv2d(before, after * pieces, kernel)

    def forward(self, features: Float[Tensor, "B C i j"]) -> Tensor:
        """The largest of each output's pieces."""
        found = self.convolution(features)
        return torch.as_tensor(found.unflatten(1, (-1, self.pieces)).amax(2))


class TwoPaths(nn.Module):
    """A local path of 7 x 7 and 3 x 3, a global one of 13 x 13, and a layer of 21 x 21.

    Nothing is padded and the poolings have stride 1: 33 x 33 pixels give one, and
    larger images what each of their patches would give.

    Args:
        in_channels: Channels of the image.
        out_channels: Classes, background included; 5 in the paper.
        base_channels: Channels of the local path; 64 in the paper. The global path has
            5/2 of them.
        pieces: Convolutions of which a maxout takes the largest.
    """

    def __init__(
        self, in_channels: int, out_channels: int, base_channels: int, pieces: int
    ) -> None:
        super().__init__()
        self.local = nn.Sequential(
            Maxout(in_channels, base_channels, 7, pieces),
            nn.MaxPool2d(4, stride=1),
            Maxout(base_channels, base_channels, 3, pieces),
            nn.MaxPool2d(2, stride=1),
        )
        wide = 5 * base_channels // 2
        self.wide = Maxout(in_channels, wide, 13, pieces)
        self.dropout = nn.Dropout(DROPOUT)
        self.classify = nn.Conv2d(base_channels + wide, out_channels, 21)

    def forward(self, image: Float[Tensor, "B C i j"]) -> Float[Tensor, "B K oi oj"]:
        """Logits of each class."""
        joined = torch.cat([self.local(image), self.wide(image)], dim=1)
        last = self.classify
        # Channels last, the gradients of so few outputs of 21 x 21 take five times as
        # long on CPUs.
        features = self.dropout(joined).contiguous()
        return F.conv2d(features, last.weight.contiguous(), last.bias)


class CascadeNetwork(nn.Module):
    """The two paths alone, or twice: the second ones see what the first ones found.

    Args:
        in_channels: Channels of the image; 4 in the paper.
        out_channels: Classes, background included.
        base_channels: Channels of the local path; 64 in the paper.
        padding: ``valid`` as in the paper, or ``same``, with zeros around the image.
        pieces: Convolutions of which a maxout takes the largest.

    Source:
        Figures 1 and 2 of the paper, sections 3.1 to 3.3.
    """

    dimensions: ClassVar[Literal[2, 3]] = 2
    stride: ClassVar[int] = 1
    sees_tile_statistics: ClassVar[bool] = False
    paddings: ClassVar[tuple[Padding, ...]] = ("valid", "same")
    starts_from: ClassVar[tuple[str, ...]] = ("twopath", "inputcascade")
    name: ClassVar[str]
    twice: ClassVar[bool]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        base_channels: int = 64,
        padding: Padding = "valid",
        pieces: int = 2,
    ) -> None:
        super().__init__()
        border = BORDER * (1 + self.twice)
        self.around = 0 if padding == "valid" else border
        self.margin = border - self.around
        self.sizes = SizeRule(self.name, stride=1, offset=0, margin=self.margin)
        self.output_size = self.sizes.output_size
        self.input_size = self.sizes.input_size
        self.first = TwoPaths(in_channels, out_channels, base_channels, pieces)
        self.second: nn.Module | None = None
        if self.twice:
            seen = in_channels + out_channels
            self.second = TwoPaths(seen, out_channels, base_channels, pieces)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.uniform_(layer.weight, -BOUND, BOUND)
                assert layer.bias is not None
                nn.init.zeros_(layer.bias)

    def forward(self, image: Float[Tensor, "B C i j"]) -> Float[Tensor, "B K oi oj"]:
        """Logits of each class."""
        image = F.pad(image, (self.around,) * 4)
        logits: Tensor = self.first(image)
        if self.second is not None:
            found = logits.softmax(dim=1)
            inner = slice(BORDER, -BORDER)  # of a fixed width, for exports at any size
            logits = self.second(torch.cat([image[:, :, inner, inner], found], dim=1))
        return logits
