"""Building networks: the spec of one, the network itself, and how it is applied."""

from typing import Literal

import torch
from jaxtyping import Float, Float32
from pydantic import PositiveInt
from torch import Tensor, nn

from segpipe.networks.catalogue import NETWORKS, Network, NetworkName
from segpipe.project.documents import Document


class NetworkSpec(Document):
    """All that it takes to build a network.

    Attributes:
        name: The system of the literature.
        in_channels: Channels of the prepared image.
        out_channels: Classes, background included.
        base_channels: Width; the other widths follow as in the paper.
        padding: ``valid`` as in the U-Net papers, or ``same``.
    """

    name: NetworkName
    in_channels: PositiveInt
    out_channels: PositiveInt
    base_channels: PositiveInt
    padding: Literal["valid", "same"]

    @property
    def dimensions(self) -> Literal[2, 3]:
        """Axes that the network convolves over, 2 or 3."""
        return NETWORKS[self.name].dimensions

    @property
    def sees_tile_statistics(self) -> bool:
        """Whether it normalizes by statistics of its input, whose size then matters."""
        return NETWORKS[self.name].sees_tile_statistics


def build_network(spec: NetworkSpec) -> Network:
    """Build a network; its paper's initial weights come from torch's generator."""
    return NETWORKS[spec.name](
        spec.in_channels,
        spec.out_channels,
        base_channels=spec.base_channels,
        padding=spec.padding,
    )


def margin_of(network: Network, slice_axis: int | None) -> tuple[int, int, int]:
    """Voxels by which the output is smaller on each side, along i, j, k."""
    i, j, k = (0 if axis == slice_axis else network.margin for axis in range(3))
    return i, j, k


def apply_network(
    network: nn.Module, image: Float32[Tensor, "B c i j k"], slice_axis: int | None
) -> Float[Tensor, "B classes oi oj ok"]:
    """Compute the logits of patches.

    A 2-D network gets them without their axis of size 1, ``slice_axis``.
    """
    if slice_axis is None:  # channels last: up to a fifth slower, V-Net in bf16
        return torch.as_tensor(network(image.contiguous()))
    # Not contiguous(channels_last): torch takes a single channel for channels last
    # already, and the convolutions then take another, slower way.
    last = image.squeeze(2 + slice_axis).permute(0, 2, 3, 1)
    plane = last.clone(memory_format=torch.contiguous_format).permute(0, 3, 1, 2)
    logits = network(plane)
    return torch.as_tensor(logits).unsqueeze(2 + slice_axis)
