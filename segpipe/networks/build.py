"""What a segmenter is made of: its spec, and from a spec to the network."""

from typing import Literal

import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn

from segpipe.networks.catalogue import NETWORKS, Network, NetworkName
from segpipe.project.documents import Document


class NetworkSpec(Document):
    """Which network: enough to build it anew.

    Attributes:
        name: The system of the literature.
        in_channels: Of the prepared image.
        out_channels: Classes, background included.
        base_channels: Width; the other widths follow as in the paper.
        padding: ``valid`` as the U-Net papers have it, or ``same``.
    """

    name: NetworkName
    in_channels: int
    out_channels: int
    base_channels: int
    padding: Literal["valid", "same"]

    @property
    def dimensions(self) -> int:
        """2 or 3: what the network convolves over."""
        return NETWORKS[self.name].dimensions

    @property
    def sees_tile_statistics(self) -> bool:
        """Whether it normalizes by statistics of its input, whose size then matters.

        Source:
            3D U-Net: Çiçek 2016, arXiv:1606.06650, section 2.
        """
        return self.name == "unet3d"


def build_network(spec: NetworkSpec) -> Network:
    """A network with its paper's initial weights, drawn from torch's generator."""
    return NETWORKS[spec.name](
        spec.in_channels,
        spec.out_channels,
        base_channels=spec.base_channels,
        padding=spec.padding,
    )


def margin_of(network: Network, slice_axis: int | None) -> tuple[int, int, int]:
    """Input minus output of a network, a side, along i, j, k."""
    i, j, k = (0 if axis == slice_axis else network.margin for axis in range(3))
    return i, j, k


def apply_network(
    network: nn.Module, image: Float32[Tensor, "B c i j k"], slice_axis: int | None
) -> Float[Tensor, "B classes oi oj ok"]:
    """Logits of patches; a 2-D network sees them without their axis of size 1."""
    if slice_axis is None:  # channels last: up to a fifth slower, V-Net in bf16
        return torch.as_tensor(network(image.contiguous()))
    # Not contiguous(channels_last): of a single channel it thinks that it is already,
    # and the convolutions then take another, slower way.
    last = image.squeeze(2 + slice_axis).permute(0, 2, 3, 1)
    plane = last.clone(memory_format=torch.contiguous_format).permute(0, 3, 1, 2)
    logits = network(plane)
    return torch.as_tensor(logits).unsqueeze(2 + slice_axis)
