"""An encoder and a decoder without skips, whose up-sampling goes by a name."""

from typing import ClassVar, Literal

from jaxtyping import Float
from torch import Tensor, nn

from segpipe.networks.layers import Padding, SizeRule, UpsamplingName, initialize
from segpipe.networks.upsampling import (
    LearnedBilinear,
    Upsampling,
    max_pool,
)

LEVELS = 4


class EncoderDecoder(nn.Module):
    """The U-Net without its skips: what is lost in pooling, the decoder must guess.

    Four times two 3 x 3 convolutions with ReLU and a 2 x 2 max-pooling, and two more at
    the bottom, channels doubling from base_channels. A level of the decoder halves the
    channels by a convolution, goes up by the named up-sampling, and convolves twice.
    Everything but the up-sampling is the same, so that its kinds compare.

    No paper proposes it; it is the encoder-decoder with which courses begin. Depth and
    widths are those of U-Net.

    Args:
        in_channels: Channels of the image.
        out_channels: Classes, background included.
        base_channels: Channels of the first level.
        padding: ``same``.
        upsampling: Name of the up-sampling.
    """

    dimensions: ClassVar[Literal[2, 3]] = 2
    stride: ClassVar[int] = 2**LEVELS
    margin: ClassVar[int] = 0
    sees_tile_statistics: ClassVar[bool] = False
    paddings: ClassVar[tuple[Padding, ...]] = ("same",)
    takes_upsampling: ClassVar[bool] = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        base_channels: int = 64,
        padding: Padding = "same",  # not read: sizes are kept
        upsampling: UpsamplingName = "transposed",
    ) -> None:
        super().__init__()
        self.sizes = SizeRule("encoder_decoder", stride=self.stride, offset=0, margin=0)
        self.output_size = self.sizes.output_size
        self.input_size = self.sizes.input_size
        widths = [base_channels * 2**level for level in range(LEVELS + 1)]
        self.down = nn.ModuleList(
            _convolutions(before, after)
            for before, after in zip([in_channels, *widths], widths, strict=False)
        )
        self.narrow = nn.ModuleList(
            nn.Conv2d(2 * width, width, 3, padding=1) for width in widths[-2::-1]
        )
        self.up = nn.ModuleList(
            Upsampling(upsampling, width) for width in widths[-2::-1]
        )
        self.merge = nn.ModuleList(
            _convolutions(width, width) for width in widths[-2::-1]
        )
        self.classify = nn.Conv2d(base_channels, out_channels, 1)
        initialize(self)
        for layer in self.modules():
            if isinstance(layer, LearnedBilinear):
                layer.interpolate()

    def forward(self, image: Float[Tensor, "B C i j"]) -> Float[Tensor, "B K i j"]:
        """Logits of each class."""
        features, switches = image, []
        for level, convolutions in enumerate(self.down):
            if level:
                features, places = max_pool(features)
                switches.append(places)
            features = convolutions(features)
        for narrow, up, merge in zip(self.narrow, self.up, self.merge, strict=True):
            features = merge(up(narrow(features).relu(), switches.pop()))
        logits: Tensor = self.classify(features)
        return logits


def _convolutions(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(after, after, 3, padding=1),
        nn.ReLU(inplace=True),
    )
