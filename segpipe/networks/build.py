"""Building networks: the spec of one, the network itself, and how it is applied."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import torch
from jaxtyping import Float, Float32, Int64
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from segpipe.networks.catalogue import NETWORKS, Network, NetworkName
from segpipe.networks.layers import SizeRule, Skips, UpsamplingName
from segpipe.networks.topology import Topology, choose_topology
from segpipe.project.documents import Document, is_empty


class NetworkSpec(Document):
    """All that it takes to build a network.

    Attributes:
        name: The system of the literature.
        in_channels: Channels of the prepared image.
        out_channels: Classes, background included.
        base_channels: Width; the other widths follow as in the paper.
        padding: ``valid`` as in the U-Net papers, or ``same``.
        topology: Strides and kernels of a network that follows the patch; None for the
            others, and before a patch is chosen.
        upsampling: Name of the up-sampling of a network that takes any; None for the
            others.
        skips: How a unet2d joins the features of a level; None for its paper's way.
        arguments: Further arguments of a network of MONAI, in JSON types.
        image_size: Voxels of the patch along the network's axes, for a network that
            takes no others; None for the others, and before a patch is chosen.
    """

    name: NetworkName
    in_channels: PositiveInt
    out_channels: PositiveInt
    base_channels: PositiveInt
    padding: Literal["valid", "same"]
    topology: Topology | None = Field(None, exclude_if=is_empty)
    upsampling: UpsamplingName | None = Field(None, exclude_if=is_empty)
    skips: Skips | None = Field(None, exclude_if=is_empty)
    arguments: dict[str, Any] = Field({}, exclude_if=is_empty)
    image_size: tuple[PositiveInt, ...] | None = Field(None, exclude_if=is_empty)

    def __hash__(self) -> int:
        """Hash of the JSON, since the arguments are a dictionary."""
        return hash(self.model_dump_json())

    @property
    def dimensions(self) -> Literal[2, 3]:
        """Axes that the network convolves over, 2 or 3."""
        return dimensions_of(self.name, self.arguments)

    @property
    def sees_tile_statistics(self) -> bool:
        """Whether it normalizes by statistics of its input, whose size then matters."""
        return NETWORKS[self.name].sees_tile_statistics

    @property
    def follows_patch(self) -> bool:
        """Whether its strides and kernels depend on the patch and its spacing."""
        return getattr(NETWORKS[self.name], "follows_patch", False)

    def for_patch(
        self, size: Sequence[int], spacing: Sequence[float], slice_axis: int | None
    ) -> "NetworkSpec":
        """The spec with the topology for a patch, if the network follows it.

        Args:
            size: Voxels along i, j, k.
            spacing: Spacing along i, j, k.
            slice_axis: The axis across which a 2-D network takes slices; None in 3-D.
        """
        topology = None
        if self.follows_patch:
            axes = [axis for axis in range(3) if axis != slice_axis]
            topology = choose_topology(
                [size[axis] for axis in axes], [spacing[axis] for axis in axes]
            )
        return self.planned(size, slice_axis, topology)

    def planned(
        self, size: Sequence[int], slice_axis: int | None, topology: Topology | None
    ) -> "NetworkSpec":
        """The spec with what is known once a patch and its topology are chosen."""
        changes: dict[str, Any] = {}
        if topology is not None:
            changes["topology"] = topology
        if getattr(NETWORKS[self.name], "keeps_patch", False):
            sides = (side for axis, side in enumerate(size) if axis != slice_axis)
            changes["image_size"] = tuple(sides)
        return self.model_copy(update=changes) if changes else self


def dimensions_of(name: NetworkName, arguments: Mapping[str, Any]) -> Literal[2, 3]:
    """Axes that a network convolves over, which one of MONAI is told."""
    found: Literal[2, 3] = arguments.get("spatial_dims", NETWORKS[name].dimensions)
    return found


def find_argument_fault(
    name: NetworkName, arguments: dict[str, Any], base_channels: int
) -> str | None:
    """Say why a network does not take arguments; None if it does.

    A network of MONAI is built for that without memory; no other is imported.
    """
    network: Any = NETWORKS[name]
    if getattr(network, "takes_arguments", False):
        fault: str | None = network.refuse(arguments, base_channels)
        return fault
    return "expected nothing, as only MONAI's take any; drop it" if arguments else None


def build_network(spec: NetworkSpec) -> Network:
    """Build a network; its paper's initial weights come from torch's generator."""
    options = {
        "topology": spec.topology,
        "upsampling": spec.upsampling,
        "skips": spec.skips,
        "arguments": spec.arguments or None,
        "image_size": spec.image_size,
    }
    planned: dict[str, Any] = {
        name: value for name, value in options.items() if value is not None
    }
    return NETWORKS[spec.name](
        spec.in_channels,
        spec.out_channels,
        base_channels=spec.base_channels,
        padding=spec.padding,
        **planned,
    )


def size_rule(network: Network, axis: int, slice_axis: int | None) -> SizeRule:
    """The sizes that a network takes along an axis of the volume.

    Args:
        network: The network.
        axis: The axis, which is not the slice axis.
        slice_axis: The axis across which a 2-D network takes slices; None in 3-D.
    """
    if isinstance(network.sizes, SizeRule):
        return network.sizes
    before = slice_axis is not None and slice_axis < axis
    return network.sizes[axis - before]


def input_channels(network: Network) -> int:
    """Channels of the image, which the first weights read unless they are positions."""
    known: int | None = getattr(network, "in_channels", None)
    return known or next(iter(network.parameters())).shape[1]


def example_size(network: Network) -> list[int]:
    """A small size with more than one voxel at the lowest level, to trace a network.

    A network that takes one size only gives that.
    """
    only: tuple[int, ...] | None = getattr(network, "image_size", None)
    if only is not None:
        return list(only)
    rules = network.sizes
    if not isinstance(rules, tuple):  # one for all axes
        rules = (rules,) * network.dimensions
    return [rule.input_size(rule.stride + 1) for rule in rules]


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
    logits = torch.as_tensor(network(_laid_out(image, slice_axis)))
    return logits if slice_axis is None else logits.unsqueeze(2 + slice_axis)


def apply_levels(
    network: nn.Module, image: Float32[Tensor, "B c i j k"], slice_axis: int | None
) -> tuple[Float[Tensor, "B classes ..."], ...]:
    """Compute the logits of each level of a network's decoder, the largest first."""
    deep: Any = network
    levels: tuple[Tensor, ...] = deep.levels(_laid_out(image, slice_axis))
    if slice_axis is None:
        return levels
    return tuple(logits.unsqueeze(2 + slice_axis) for logits in levels)


def apply_loss(
    network: nn.Module,
    image: Float32[Tensor, "B c i j k"],
    reference: Int64[Tensor, "B i j k"],
    weight: Float32[Tensor, "B i j k"],
    slice_axis: int | None,
    *,
    seeds: Sequence[int],
    total: Callable[[Tensor], Tensor],
) -> Float32[Tensor, ""]:
    """Compute the loss that a network brings (``brings_loss``), of patches.

    Args:
        network: The network.
        image: Its input.
        reference: Class indices, negative where not annotated.
        weight: 0 where not annotated.
        slice_axis: The axis across which a 2-D network takes slices; None in 3-D.
        seeds: Seed of what the network draws, for each patch.
        total: Turns sums of this process into sums over all processes that share the
            batch.
    """
    bringing: Any = network
    if slice_axis is not None:
        reference, weight = (x.squeeze(1 + slice_axis) for x in (reference, weight))
    laid = _laid_out(image, slice_axis)
    cost: Tensor = bringing.loss(laid, reference, weight, seeds=seeds, total=total)
    return cost


def _laid_out(image: Tensor, slice_axis: int | None) -> Tensor:
    """The image as convolutions take it fastest, for a 2-D network without an axis."""
    if slice_axis is None:  # channels last: up to a fifth slower, V-Net in bf16
        return image.contiguous()
    # Not contiguous(channels_last): torch takes a single channel for channels last
    # already, and the convolutions then take another, slower way.
    last = image.squeeze(2 + slice_axis).permute(0, 2, 3, 1)
    return last.clone(memory_format=torch.contiguous_format).permute(0, 3, 1, 2)
