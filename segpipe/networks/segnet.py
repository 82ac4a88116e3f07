"""SegNet: Badrinarayanan, Kendall, Cipolla 2017, arXiv:1511.00561."""

from typing import ClassVar, Literal

from torch import nn

from segpipe.networks.layers import Padding, SizeRule
from segpipe.networks.switches import SwitchedNetwork, stage, vgg_encoder

# Channels of the decoder's stages, by those of the encoder's first; the last stage has
# one convolution more, which gives the classes.
DECODER = ((8, 8, 8), (8, 8, 4), (4, 4, 2), (2, 1), (1,))


class SegNet(SwitchedNetwork):
    """VGG16's 13 convolutions and their mirror: 29,433,483 weights with 11 classes.

    The decoder puts features where the maxima of the encoder's poolings stood, and its
    convolutions make them dense. Nothing but these switches goes from the encoder to
    the decoder. Batch normalization and ReLU follow each convolution but the last.

    Args:
        in_channels: Channels of the image.
        out_channels: Classes, background included.
        base_channels: Channels of the first stage; the paper has 64.

    Source:
        ``segnet_train.prototxt`` of the authors' SegNet-Tutorial, also for the last
        convolution, which is 3 x 3.
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
        padding: Padding = "same",  # not read: the paper pads always
    ) -> None:
        decoder, before = [], 8 * base_channels
        for factors in DECODER:
            widths = [factor * base_channels for factor in factors]
            decoder.append(stage(before, widths))
            before = widths[-1]
        decoder[-1].append(nn.Conv2d(before, out_channels, 3, padding=1))
        super().__init__(
            vgg_encoder(in_channels, base_channels), nn.Identity(), decoder
        )
        self.sizes = SizeRule("segnet", stride=self.stride, offset=0, margin=0)
        self.output_size = self.sizes.output_size
        self.input_size = self.sizes.input_size
