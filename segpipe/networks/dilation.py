"""Dilated convolutions for dense prediction: Yu and Koltun 2016, arXiv:1511.07122."""

from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from segpipe.networks.layers import Padding, SizeRule, initialize

Variant = Literal["none", "basic", "large"]

CONVOLUTIONS = (2, 2, 3, 3, 3)  # 3 x 3 convolutions a stage of VGG16
WIDTHS = (1, 2, 4, 8, 8)  # channels of its stages, by those of the first
DENSE = 64  # channels of fc6 and fc7, by those of the first stage: 4096 / 64
POOLINGS = 3  # of VGG16's five; the other two became dilations
MARGIN = 186  # pixels that the unpadded front end loses on each side
CONTEXT = (1, 1, 2, 4, 8, 16, 1)  # dilations of the 3 x 3 convolutions, table 1
CHANNELS = {"basic": (1,) * 7, "large": (2, 2, 4, 8, 16, 32, 32)}  # times C, table 1
BORDER = 33  # zeros around the context module's input: its field is 67 wide
ALIGNED = 16  # channels that oneDNN takes together
NOISE = 0.01  # sigma of the large module's initial weights, as in the public code


class DilatedNetwork(nn.Module):
    """The front end, a context module or none, and bilinear up-sampling by 8.

    The front end is VGG16 without its last two poolings; the convolutions after them
    are dilated by 2 and 4 instead, so that it sees as much at a resolution of 1/8. The
    paper compares its outputs with references of that resolution, and interpolates them
    in use; here the network interpolates also in training.

    Args:
        in_channels: Channels of the image.
        out_channels: Classes, background included: C in the paper.
        base_channels: Channels of the first stage; VGG16 has 64.
        padding: ``valid`` as in the paper, which mirrors the image around, or ``same``.
    """

    dimensions: ClassVar[Literal[2, 3]] = 2
    stride: ClassVar[int] = 2**POOLINGS
    sees_tile_statistics: ClassVar[bool] = False
    paddings: ClassVar[tuple[Padding, ...]] = ("valid", "same")
    starts_from: ClassVar[tuple[str, ...]] = ("dilated",)
    name: ClassVar[str]
    variant: ClassVar[Variant]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        base_channels: int = 64,
        padding: Padding = "valid",
    ) -> None:
        super().__init__()
        valid = padding == "valid"
        self.margin = MARGIN if valid else 0
        self.sizes = SizeRule(
            self.name,
            stride=self.stride,
            offset=2 * MARGIN % self.stride if valid else 0,
            margin=self.margin,
        )
        self.output_size = self.sizes.output_size
        self.input_size = self.sizes.input_size
        self.front = front_end(
            in_channels, out_channels, base_channels, padded=not valid
        )
        initialize(self)
        last = self.front[-1]
        assert isinstance(last, nn.Conv2d)
        nn.init.normal_(last.weight, std=0.001)
        if self.variant == "none":
            self.context: nn.Module = nn.Identity()
        else:
            self.context = ContextModule(out_channels, self.variant)
        self.enlarge = nn.Upsample(scale_factor=self.stride, mode="bilinear")

    def forward(self, image: Float[Tensor, "B C i j"]) -> Float[Tensor, "B K oi oj"]:
        """Logits of each class."""
        logits: Tensor = self.enlarge(self.context(self.front(image)))
        return logits


def front_end(
    in_channels: int, out_channels: int, base_channels: int, *, padded: bool
) -> nn.Sequential:
    """The front end: (n - 372) / 8 outputs along an axis of n, or n / 8 if padded.

    Source:
        Section 4 of the paper, and ``network.py`` of the public code, which drops half
        of the values of fc6 and fc7 and draws the last weights from N(0, 0.001).
    """
    layers: list[nn.Module] = []
    before = in_channels
    for stage, (count, width) in enumerate(zip(CONVOLUTIONS, WIDTHS, strict=True)):
        dilation = 2 if stage > POOLINGS else 1
        for _ in range(count):
            after = width * base_channels
            layers += _convolution(before, after, 3, dilation, padded=padded)
            before = after
        if stage < POOLINGS:
            layers.append(nn.MaxPool2d(2))
    dense = DENSE * base_channels
    layers += _convolution(before, dense, 7, 4, padded=padded)
    layers.append(nn.Dropout(0.5))
    layers += _convolution(dense, dense, 1, 1, padded=padded)
    layers.append(nn.Dropout(0.5))
    return nn.Sequential(*layers, nn.Conv2d(dense, out_channels, 1))


def _convolution(
    before: int, after: int, kernel: int, dilation: int, *, padded: bool
) -> tuple[nn.Module, nn.Module]:
    padding = dilation * (kernel // 2) if padded else 0
    convolution = DilatedConv2d(
        before, after, kernel, dilation=dilation, padding=padding
    )
    return convolution, nn.ReLU(inplace=True)


class DilatedConv2d(nn.Conv2d):
    """A convolution in float32 where bf16 on CPUs gives wrong gradients.

    oneDNN's bf16 gradient of the weights is garbage (random memory) where the
    convolution is dilated and its input has more than 16 channels, but no multiple of
    16: seen with torch 2.13 on AVX512-BF16, docs/decisions/0005-precision.md.
    """

    def forward(self, features: Float[Tensor, "B C i j"]) -> Tensor:
        """Convolve."""
        dilated = max(self.dilation) > 1
        odd = self.in_channels > ALIGNED and self.in_channels % ALIGNED
        if dilated and odd and features.device.type == "cpu":
            with torch.autocast("cpu", enabled=False):
                return super().forward(features.float())
        return super().forward(features)


class ContextModule(nn.Module):
    """Eight convolutions in a row that see 67 x 67 and keep the resolution.

    The initial weights pass the input on, where it is not negative: all but the last
    layer cut at 0.

    Args:
        channels: Channels of input and output: C in the paper.
        variant: ``basic``, C channels everywhere; or ``large``, up to 32 C.
        noise: Standard deviation of the weights that pass nothing on, ``large`` only.

    Source:
        Section 3 and table 1 of the paper; the input has zeros around it.
    """

    def __init__(
        self,
        channels: int,
        variant: Literal["basic", "large"] = "basic",
        *,
        noise: float = NOISE,
    ) -> None:
        super().__init__()
        widths = [channels, *(channels * n for n in CHANNELS[variant]), channels]
        kernels = zip([3] * 7 + [1], [*CONTEXT, 1], strict=True)
        layers = [
            DilatedConv2d(widths[n], widths[n + 1], kernel, dilation=dilation)
            for n, (kernel, dilation) in enumerate(kernels)
        ]
        self.layers = nn.ModuleList(layers)
        for layer in layers:
            pass_on(layer, channels, noise=noise if variant == "large" else 0.0)

    def forward(self, maps: Float[Tensor, "B K i j"]) -> Float[Tensor, "B K i j"]:
        """The maps, each place of them with what surrounds it."""
        found = F.pad(maps, (BORDER,) * 4)
        for number, layer in enumerate(self.layers):
            found = layer(found if number == 0 else F.relu(found))
        return found


def pass_on(layer: nn.Conv2d, channels: int, *, noise: float) -> None:
    """Set the weights to those of equation 5, in place: the input goes through.

    The centre of a kernel is C / c' from input a to output b if a and b belong to the
    same of the C channels, floor(a C / c) = floor(b C / c'), with c and c' channels in
    and out. With c = c' = C this is equation 4, the identity; in the large module the
    last layer makes up for what the others lower.

    Args:
        layer: A layer of a context module.
        channels: C, the channels of the module's input.
        noise: Standard deviation of all other weights.
    """
    before, after = layer.in_channels, layer.out_channels
    owner_in = torch.arange(before, device="cpu") * channels // before
    owner_out = torch.arange(after, device="cpu") * channels // after
    same = owner_out[:, None] == owner_in
    middle = layer.kernel_size[0] // 2
    with torch.no_grad():
        layer.weight.normal_(0.0, noise) if noise else layer.weight.zero_()
        centre = layer.weight[:, :, middle, middle]
        centre[same.to(centre.device)] = channels / after
        assert layer.bias is not None
        nn.init.zeros_(layer.bias)
