"""Up-sampling by name, in two dimensions, and the pooling that it undoes."""

from dataclasses import dataclass
from typing import Any, get_args

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from segpipe.networks.layers import UpsamplingName

UPSAMPLINGS: tuple[UpsamplingName, ...] = get_args(UpsamplingName)


@dataclass(frozen=True)
class Switches:
    """Where the maxima of a max-pooling stood.

    Attributes:
        places: Place of each maximum in its channel, counted row by row.
        size: Size of the features before the pooling. An odd size is not twice the
            pooled one: without it, the places would point at other pixels. Two whole
            numbers; tensors while a network is traced for an export.
    """

    places: Int64[Tensor, "B C oi oj"]
    size: tuple[Any, Any]


def max_pool(
    features: Float[Tensor, "B C i j"], kernel: int = 2, *, ceil: bool = False
) -> tuple[Float[Tensor, "B C oi oj"], Switches]:
    """The maximum of each window of kernel x kernel pixels, and where it stood.

    Args:
        features: The features.
        kernel: Size of the windows, which is also their stride.
        ceil: Keep an incomplete window at the end, as Caffe does.

    Source:
        Noh 2015, arXiv:1505.04366, section 3.2.1, for the switches.
    """
    pooled, places = functional.max_pool2d(
        features, kernel, ceil_mode=ceil, return_indices=True
    )
    return pooled, Switches(places, (features.shape[2], features.shape[3]))


def max_unpool(
    features: Float[Tensor, "B C oi oj"], switches: Switches
) -> Float[Tensor, "B C i j"]:
    """Put each value where its maximum stood, and 0 everywhere else.

    torch's own ``max_unpool2d`` gives the same, but has neither a deterministic form on
    a GPU nor one in ONNX.

    Args:
        features: As many channels and pixels as the pooled features have.
        switches: The switches of that pooling.
    """
    batch, channels = features.shape[:2]
    height, width = switches.size
    empty = features.new_zeros(batch, channels, height * width)
    filled = empty.scatter(2, switches.places.flatten(2), features.flatten(2))
    return filled.view(batch, channels, height, width)


def nearest(features: Float[Tensor, "B C i j"], factor: int) -> Tensor:
    """Each value factor x factor times: what courses also call average unpooling."""
    return functional.interpolate(features, scale_factor=float(factor), mode="nearest")


def bed_of_nails(features: Float[Tensor, "B C i j"], factor: int) -> Tensor:
    """Each value in the upper left corner of factor x factor pixels, else 0."""
    batch, channels, height, width = features.shape
    nails = features.new_zeros(batch, channels, height * factor, width * factor)
    nails[:, :, ::factor, ::factor] = features
    return nails


def bilinear(features: Float[Tensor, "B C i j"], factor: int) -> Tensor:
    """Interpolation between the centres of pixels; the outermost values go on."""
    return functional.interpolate(
        features, scale_factor=float(factor), mode="bilinear", align_corners=False
    )


def bilinear_filter(factor: int) -> Float[Tensor, "k k"]:
    """The kernel with which a transposed convolution of this stride interpolates.

    Returns:
        2 factor - (factor mod 2) pixels a side: a tent of height 1 whose foot is a
        pixel beyond the kernel.

    Source:
        Long 2015, arXiv:1411.4038, section 3.3; ``upsample_filt`` in surgery.py of the
        authors' fcn.berkeleyvision.org.
    """
    size = 2 * factor - factor % 2
    half = (size + 1) // 2
    centre = half - 1 if size % 2 else half - 0.5
    places = torch.arange(size, dtype=torch.float64, device="cpu")
    tent = 1 - (places - centre).abs() / half
    kernel = torch.outer(tent, tent)
    return kernel.to(torch.get_default_device(), torch.get_default_dtype())


class PredictionUpsampling(nn.Module):
    """Fixed bilinear up-sampling of scores by a fractionally strided convolution.

    Its filter is no parameter. Unlike `bilinear`, it takes zeros for what lies beyond
    the border; further inside than half a factor, both give the same.

    Args:
        classes: Channels of the scores.
        factor: Factor along each axis.
        padding: Pixels dropped on each side; None to give factor times the size.

    Source:
        Long 2015, arXiv:1411.4038, section 3.3, and section 4.3: the final layer is
        fixed.
    """

    kernel: Tensor

    def __init__(
        self, classes: int, factor: int, *, padding: int | None = None
    ) -> None:
        super().__init__()
        self.classes = classes
        self.factor = factor
        kernel = bilinear_filter(factor)
        self.padding = (len(kernel) - factor) // 2 if padding is None else padding
        self.register_buffer("kernel", kernel, persistent=False)

    def forward(self, scores: Float[Tensor, "B K i j"]) -> Tensor:
        """The scores at factor times the resolution, each class by itself."""
        return functional.conv_transpose2d(
            scores,
            self.kernel.expand(self.classes, 1, -1, -1),
            stride=self.factor,
            padding=self.padding,
            groups=self.classes,
        )


class LearnedBilinear(nn.ConvTranspose2d):
    """A transposed convolution that begins as bilinear interpolation and learns.

    Args:
        channels: Channels; at first, no channel sees another.
        factor: Factor along each axis.
        padding: Pixels dropped on each side; None to give factor times the size.

    Source:
        Long 2015, arXiv:1411.4038, section 3.3; ``interp`` in the authors' surgery.py.
    """

    def __init__(
        self, channels: int, factor: int, *, padding: int | None = None
    ) -> None:
        size = 2 * factor - factor % 2
        super().__init__(
            channels,
            channels,
            size,
            stride=factor,
            padding=(size - factor) // 2 if padding is None else padding,
            bias=False,
        )
        self.interpolate()

    def interpolate(self) -> None:
        """Set the weights to those of bilinear interpolation."""
        kernel = bilinear_filter(self.stride[0]).to(self.weight)
        same = torch.eye(self.in_channels, device="cpu").to(self.weight)
        with torch.no_grad():
            self.weight.copy_(same[:, :, None, None] * kernel)


class Upsampling(nn.Module):
    """Up-sampling that goes by a name, so that one decoder can have any of them.

    ``transposed`` is a transposed convolution whose kernel is as wide as its stride;
    it and ``learned_bilinear`` have weights, the others have none.

    Args:
        name: Name of the up-sampling.
        channels: Channels, which stay as many.
        factor: Factor along each axis.
    """

    def __init__(self, name: UpsamplingName, channels: int, factor: int = 2) -> None:
        super().__init__()
        self.name: UpsamplingName = name
        self.factor = factor
        self.learned: nn.Module | None = None
        if name == "transposed":
            self.learned = nn.ConvTranspose2d(channels, channels, factor, stride=factor)
        elif name == "learned_bilinear":
            self.learned = LearnedBilinear(channels, factor)

    def forward(
        self, features: Float[Tensor, "B C i j"], switches: Switches
    ) -> Float[Tensor, "B C oi oj"]:
        """Up-sample.

        Args:
            features: The features.
            switches: Those of the pooling that is undone; read by max_unpooling.
        """
        if self.learned is not None:
            return torch.as_tensor(self.learned(features))
        if self.name == "max_unpooling":
            return max_unpool(features, switches)
        if self.name == "bed_of_nails":
            return bed_of_nails(features, self.factor)
        if self.name == "bilinear":
            return bilinear(features, self.factor)
        return nearest(features, self.factor)
