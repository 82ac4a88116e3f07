"""DeconvNet: Noh, Hong, Han 2015, arXiv:1505.04366."""

from typing import ClassVar, Literal

from torch import nn

from segpipe.networks.layers import Padding, SizeRule
from segpipe.networks.switches import (
    SwitchedNetwork,
    normalized,
    stage,
    vgg_encoder,
)

# Channels of the decoder's stages, by those of the encoder's first.
DECODER = ((8, 8, 8), (8, 8, 4), (4, 4, 2), (2, 1), (1, 1))
DENSE = 64  # channels of fc6 and fc7: 4096 / 64
FIELD = 7  # of fc6


class DeconvNet(SwitchedNetwork):
    """VGG16 with its dense layers, and its mirror: 251,772,245 weights.

    That is with 3 channels and 21 classes. fc6 sees 7 x 7 places and gives one: 224
    pixels become 7, then 1, 7 and 224 again. The decoder puts features where the maxima
    of the encoder's poolings stood, and transposed convolutions make them dense. Batch
    normalization and ReLU follow each convolution but the last.

    Args:
        in_channels: Channels of the image.
        out_channels: Classes, background included.
        base_channels: Channels of the first stage; the paper has 64.

    Source:
        ``stage_2_train.prototxt`` of the authors' DeconvNet.
    """

    dimensions: ClassVar[Literal[2, 3]] = 2
    stride: ClassVar[int] = 32
    margin: ClassVar[int] = 0
    sees_tile_statistics: ClassVar[bool] = False
    paddings: ClassVar[tuple[Padding, ...]] = ("same",)

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        base_channels: int = 64,
        padding: Padding = "same",  # not read: the paper pads all but fc6
    ) -> None:
        dense, before = DENSE * base_channels, 8 * base_channels
        middle = nn.Sequential(
            *normalized(nn.Conv2d(before, dense, FIELD)),
            *normalized(nn.Conv2d(dense, dense, 1)),
            *normalized(nn.ConvTranspose2d(dense, before, FIELD)),
        )
        decoder = []
        for factors in DECODER:
            widths = [factor * base_channels for factor in factors]
            decoder.append(stage(before, widths, transposed=True))
            before = widths[-1]
        decoder[-1].append(nn.Conv2d(before, out_channels, 1))
        super().__init__(vgg_encoder(in_channels, base_channels), middle, decoder)
        # 32 m + 192, m from 1: at least the 7 places that fc6 sees.
        self.sizes = SizeRule(
            "deconvnet",
            stride=self.stride,
            offset=(FIELD - 1) * self.stride,
            margin=0,
        )
        self.output_size = self.sizes.output_size
        self.input_size = self.sizes.input_size
