"""The memory that a network needs for a pass, measured on its layers."""

import math
from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor, nn

from segpipe.networks.build import NetworkSpec, apply_network, build_network
from segpipe.networks.catalogue import Network

FLOAT_BYTES = 4


@cache
def forward_bytes(
    spec: NetworkSpec, size: tuple[int, int, int], slice_axis: int | None
) -> int:
    """What a forward pass of one tile holds at its peak, by shapes alone, in float32.

    Twice the layer whose input and output together are largest (its input was put
    together from two others that are still there), or what becomes of the logits.
    """
    largest = 0

    def look(_: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal largest
        largest = max(largest, given[0].numel() + output.numel())

    with torch.device("meta"):
        network = build_network(spec).eval()
        hooks = [
            layer.register_forward_hook(look)
            for layer in network.modules()
            if not list(layer.children())
        ]
        image = torch.zeros(1, spec.in_channels, *size)
        logits = apply_network(network, image, slice_axis)
    for hook in hooks:
        hook.remove()
    voxels = max(2 * largest, largest + 3 * logits.numel())
    return FLOAT_BYTES * (voxels + math.prod(image.shape))


# A training step keeps each layer's output and, going backward, a gradient of the size.
OUTPUTS_KEPT = 2
# Weights, gradients, momentum and the copy of the best weights.
WEIGHTS_KEPT = 4


def training_memory_gb(
    network: Network, patch_size: tuple[int, int, int], slice_axis: int | None
) -> tuple[float, float]:
    """What a patch needs in a training step, and what the weights need.

    Measured on shapes alone (torch's meta device): the outputs of all layers that hold
    no other layer, in float32.
    """
    outputs = 0

    def count(_: nn.Module, __: object, output: Float[Tensor, "..."]) -> None:
        nonlocal outputs
        outputs += output.numel()

    hooks = [
        layer.register_forward_hook(count)
        for layer in network.modules()
        if not list(layer.children())
    ]
    channels = next(network.parameters()).shape[1]
    apply_network(
        network, torch.zeros(1, channels, *patch_size, device="meta"), slice_axis
    )
    for hook in hooks:
        hook.remove()
    weights = sum(weight.numel() for weight in network.parameters())
    return outputs * 4 * OUTPUTS_KEPT / 1e9, weights * 4 * WEIGHTS_KEPT / 1e9
