"""Convolutions only: the naive network without pooling, as a baseline."""

from typing import ClassVar, Literal

from jaxtyping import Float
from torch import Tensor, nn

from segpipe.networks.layers import Padding, SizeRule, initialize

LAYERS = 8


class Convolutions(nn.Module):
    """Padded 3 x 3 convolutions with ReLU at full resolution, then scores.

    An output sees 1 + 2 L pixels along each axis, 17 for eight layers: to see as much
    as a U-Net it would need dozens, and each of them costs as much as the first.

    No paper proposes it; courses begin with it, to show why networks pool. Depth and
    width are ours.

    Args:
        in_channels: Channels of the image.
        out_channels: Classes, background included.
        base_channels: Channels of every layer.
        padding: ``same``.
        layers: Number L of convolutions.
    """

    dimensions: ClassVar[Literal[2, 3]] = 2
    stride: ClassVar[int] = 1
    margin: ClassVar[int] = 0
    sees_tile_statistics: ClassVar[bool] = False
    paddings: ClassVar[tuple[Padding, ...]] = ("same",)

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        base_channels: int = 32,
        padding: Padding = "same",  # not read: sizes are kept
        layers: int = LAYERS,
    ) -> None:
        super().__init__()
        self.sizes = SizeRule("convolutions", stride=1, offset=0, margin=0)
        self.output_size = self.sizes.output_size
        self.input_size = self.sizes.input_size
        stack: list[nn.Module] = []
        for n in range(layers):
            before = base_channels if n else in_channels
            stack.append(nn.Conv2d(before, base_channels, 3, padding=1))
            stack.append(nn.ReLU(inplace=True))
        self.layers = nn.Sequential(*stack)
        self.classify = nn.Conv2d(base_channels, out_channels, 1)
        initialize(self)

    def forward(self, image: Float[Tensor, "B C i j"]) -> Float[Tensor, "B K i j"]:
        """Logits of each class."""
        logits: Tensor = self.classify(self.layers(image))
        return logits
