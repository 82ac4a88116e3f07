"""Residual encoder U-Net of nnU-Net: Isensee 2024, arXiv:2404.09556."""

from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from segpipe.networks.layers import Conv3d, CurrentStatisticsNorm, Padding, SizeRule
from segpipe.networks.topology import Topology

MOST_CHANNELS = {2: 512, 3: 320}
SLOPE = 1e-2  # of the leaky ReLU, also in the draw of the initial weights


class ResEnc(nn.Module):
    """An encoder of residual blocks, and a decoder of one convolution a stage.

    Channels double from stage to stage up to 512 (2-D) or 320 (3-D). A stem convolution
    comes before the first stage. A block is two convolutions with instance
    normalization and leaky ReLU, to which the block's input is added before the last
    ReLU; the first block of a stage halves the axes that the topology says, and its
    input goes through average pooling and a convolution of kernel 1. A stage of the
    decoder is a transposed convolution, the features of its level and one convolution.
    Every stage of the decoder has logits, as in the public code; those below the first
    serve deep supervision in training.

    Args:
        in_channels: Channels of the image.
        out_channels: Classes, background included.
        base_channels: Channels of the first stage; 32 in the presets of the paper.
        padding: ``same``.
        topology: Strides, kernels and blocks; ``usual`` unless the plan chose them.

    Attributes:
        with_levels: Whether ``forward`` gives the logits of each level, while
            ``levels`` runs; no argument, which an export would take for an input.
        usual: Topology of a patch of the paper with equal spacings.

    Source:
        ``ResidualEncoderUNet`` and ``BasicBlockD`` of the public
        dynamic-network-architectures, as nnU-Net v2's ``ResEncUNetPlanner`` calls them.
    """

    dimensions: ClassVar[Literal[2, 3]]
    margin: ClassVar[int] = 0
    sees_tile_statistics: ClassVar[bool] = True  # instance normalization
    paddings: ClassVar[tuple[Padding, ...]] = ("same",)
    follows_patch: ClassVar[bool] = True  # the plan chooses its topology
    has_levels: ClassVar[bool] = True  # logits for deep supervision
    name: ClassVar[str]
    usual: ClassVar[Topology]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        base_channels: int = 32,
        padding: Padding = "same",  # not read: the paper pads always
        topology: Topology | None = None,
    ) -> None:
        super().__init__()
        topology = topology or self.usual
        self.with_levels = False
        self.sizes = tuple(
            SizeRule(self.name, stride=stride, offset=0, margin=0)
            for stride in topology.total_stride
        )
        whole = max(self.sizes, key=lambda rule: rule.stride)  # fits each axis
        self.stride = whole.stride
        self.output_size, self.input_size = whole.output_size, whole.input_size
        most, count = MOST_CHANNELS[self.dimensions], len(topology.strides)
        widths = [min(base_channels * 2**stage, most) for stage in range(count)]
        self.stem = _Convolution(in_channels, widths[0], topology.kernels[0])
        self.stages = nn.ModuleList(
            _stage(widths[max(n - 1, 0)], widths[n], topology, n) for n in range(count)
        )
        self.up = nn.ModuleList(
            _transposed(widths[n + 1], widths[n], topology.strides[n + 1])
            for n in reversed(range(count - 1))
        )
        self.merge = nn.ModuleList(
            _Convolution(2 * widths[n], widths[n], topology.kernels[n])
            for n in reversed(range(count - 1))
        )
        self.classify = nn.ModuleList(
            _plain(widths[n], out_channels, (1,) * self.dimensions)
            for n in reversed(range(max(count - 1, 1)))
        )
        _initialize(self)

    def forward(self, image: Float[Tensor, "B C ..."]) -> Tensor | tuple[Tensor, ...]:
        """Logits of each class; ``with_levels`` those of each level, largest first."""
        features, skips = self.stem(image), []
        for stage in self.stages:
            features = stage(features)
            skips.append(features)
        decoded = [skips.pop()]
        for up, merge in zip(self.up, self.merge, strict=True):
            joined = torch.cat([up(decoded[-1]), skips.pop()], dim=1)
            decoded.append(merge(joined))
            if not self.with_levels:
                del decoded[0], joined
        decoded = decoded[-len(self.classify) :]
        if not self.with_levels:
            logits: Tensor = self.classify[-1](decoded[-1])
            return logits
        pairs = zip(self.classify, decoded, strict=True)
        return tuple(reversed([classify(found) for classify, found in pairs]))

    def levels(self, image: Float[Tensor, "B C ..."]) -> tuple[Tensor, ...]:
        """Logits of each level, the largest first; compiled if the network is."""
        self.with_levels = True
        try:
            found: tuple[Tensor, ...] = self(image)
        finally:
            self.with_levels = False
        return found


class _Convolution(nn.Module):
    """Convolution, instance normalization and, unless told otherwise, leaky ReLU."""

    def __init__(
        self,
        before: int,
        after: int,
        kernel: tuple[int, ...],
        *,
        stride: tuple[int, ...] | None = None,
        bias: bool = True,
        activate: bool = True,
    ) -> None:
        super().__init__()
        self.convolution = _plain(before, after, kernel, stride=stride, bias=bias)
        flat = len(kernel) == 2
        self.norm = _PlaneNorm(after) if flat else CurrentStatisticsNorm(after)
        self.activation = nn.LeakyReLU(SLOPE, inplace=True) if activate else None

    def forward(self, features: Tensor) -> Tensor:
        """Convolve, normalize, activate."""
        found: Tensor = self.norm(self.convolution(features))
        return (
            found
            if self.activation is None
            else torch.as_tensor(self.activation(found))
        )


class _Block(nn.Module):
    """A residual block; its shortcut is pooled and widened where its output is."""

    def __init__(
        self, before: int, after: int, kernel: tuple[int, ...], stride: tuple[int, ...]
    ) -> None:
        super().__init__()
        self.first = _Convolution(before, after, kernel, stride=stride)
        self.last = _Convolution(after, after, kernel, activate=False)
        self.activation = nn.LeakyReLU(SLOPE, inplace=True)
        shortcut: list[nn.Module] = []
        if max(stride) > 1:
            pool: Any = nn.AvgPool2d if len(kernel) == 2 else nn.AvgPool3d
            shortcut.append(pool(stride, stride))
        if before != after:
            one = (1,) * len(kernel)
            shortcut.append(
                _Convolution(before, after, one, bias=False, activate=False)
            )
        self.shortcut = nn.Sequential(*shortcut)

    def forward(self, features: Tensor) -> Tensor:
        """The block's output."""
        found = self.last(self.first(features))
        found = found + self.shortcut(features)
        return torch.as_tensor(self.activation(found))


class _PlaneNorm(nn.BatchNorm2d):
    """Instance normalization in 2-D, as ``CurrentStatisticsNorm`` is in 3-D."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, track_running_stats=False)

    def forward(self, features: Float[Tensor, "B C i j"]) -> Tensor:
        """Normalize, scale and shift each channel of each input."""
        # A trace would keep the number of inputs.
        if torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
            return torch.nn.functional.instance_norm(
                features, weight=self.weight, bias=self.bias, eps=self.eps
            )
        parts = [nn.BatchNorm2d.forward(self, one) for one in torch.split(features, 1)]
        return parts[0] if len(parts) == 1 else torch.cat(parts)


def _stage(before: int, after: int, topology: Topology, number: int) -> nn.Sequential:
    """The blocks of a stage, of which the first halves axes and widens."""
    kernel, stride = topology.kernels[number], topology.strides[number]
    same = (1,) * len(stride)
    return nn.Sequential(
        *(
            _Block(after if n else before, after, kernel, same if n else stride)
            for n in range(topology.blocks[number])
        )
    )


def _plain(
    before: int,
    after: int,
    kernel: tuple[int, ...],
    *,
    stride: tuple[int, ...] | None = None,
    bias: bool = True,
) -> nn.Conv2d | nn.Conv3d:
    """A padded convolution in as many dimensions as its kernel has."""
    layer: Any = nn.Conv2d if len(kernel) == 2 else Conv3d
    padding = tuple(size // 2 for size in kernel)
    made: nn.Conv2d | nn.Conv3d = layer(
        before, after, kernel, stride=stride or 1, padding=padding, bias=bias
    )
    return made


def _transposed(
    before: int, after: int, stride: tuple[int, ...]
) -> nn.ConvTranspose2d | nn.ConvTranspose3d:
    layer = nn.ConvTranspose2d if len(stride) == 2 else nn.ConvTranspose3d
    return layer(before, after, stride, stride=stride)  # type: ignore[arg-type]


def _initialize(network: nn.Module) -> None:
    """He's draw for the leaky ReLU, biases 0, and blocks that begin as their shortcut.

    Source:
        ``InitWeights_He(1e-2)`` and ``init_last_bn_before_add_to_0`` of the public
        code; fans are torch's own.
    """
    kinds = nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d
    for layer in network.modules():
        if isinstance(layer, kinds):
            nn.init.kaiming_normal_(layer.weight, a=SLOPE)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, _Block):
            nn.init.zeros_(layer.last.norm.weight)
