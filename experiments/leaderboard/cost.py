"""Cost: weights and multiply-adds of a network, counted without computing anything."""

import math

import torch
from torch.utils.flop_counter import FlopCounterMode

from segpipe.images.grid import Triple
from segpipe.networks.build import NetworkSpec, apply_network, build_network
from segpipe.segmenter.spec import SegmenterSpec


def count_cost(spec: SegmenterSpec) -> dict[str, int]:
    """The cost of a segmenter's network on one of its patches."""
    return count_forward(spec.network, spec.patch_size, spec.slice_axis)


def count_forward(
    spec: NetworkSpec, size: Triple, slice_axis: int | None
) -> dict[str, int]:
    """Weights, and what one forward pass of one patch takes.

    Args:
        spec: The network.
        size: Input voxels of the patch.
        slice_axis: The axis across which a 2-D network takes slices; None in 3-D.

    Returns:
        ``parameters``; ``multiply_adds`` of convolutions and matrix products, nothing
        else being counted; ``voxels``, those of the output.
    """
    with torch.device("meta"):
        network = build_network(spec).eval()
        image = torch.zeros(1, spec.in_channels, *size)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        logits = apply_network(network, image, slice_axis)
    return {
        "parameters": sum(weight.numel() for weight in network.parameters()),
        "multiply_adds": counter.get_total_flops() // 2,
        "voxels": math.prod(logits.shape[2:]),
    }
