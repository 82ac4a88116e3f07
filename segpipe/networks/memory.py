"""The memory that a pass through a network takes, from the shapes of its layers."""

import math
from functools import cache

import torch
from torch import Tensor, nn

from segpipe.networks.build import NetworkSpec, apply_network, input_channels
from segpipe.networks.catalogue import Network
from segpipe.networks.shapes import build_shapes, shapes_of

FLOAT_BYTES = 4
# A training step keeps each layer's output and, going backward, a gradient of the size.
OUTPUTS_KEPT = 2
# Weights, gradients, momentum and the copy of the best weights.
WEIGHTS_KEPT = 4
# oneDNN lays out weights anew: twice going forward, four times going backward on CPUs
# without AVX-512. That counts for the wide kernels that were dense layers of a
# classifier, whose outputs are small.
WIDE = 7
COPIES = 2
COPIES_BACKWARD = 4


@cache
def forward_bytes(
    spec: NetworkSpec, size: tuple[int, int, int], slice_axis: int | None
) -> int:
    """Bytes that a forward pass of one tile holds at its peak, in float32.

    Twice the layer whose input and output together are largest (its input was put
    together from two others that are still held), or what becomes of the logits, or
    copies of the weights of a layer with a wide kernel.

    Args:
        spec: The network.
        size: Input voxels of the tile.
        slice_axis: The axis across which a 2-D network takes slices; None in 3-D.
    """
    network = build_shapes(spec).eval()
    image = torch.zeros(1, spec.in_channels, *size, device="meta")
    layers, logits = _pass(network, image, slice_axis)
    largest = max(given + output for given, output in layers)
    values = max(2 * largest, largest + 3 * logits, largest + COPIES * _widest(network))
    return FLOAT_BYTES * (values + math.prod(image.shape))


def training_memory_gb(
    network: Network, patch_size: tuple[int, int, int], slice_axis: int | None
) -> tuple[float, float]:
    """Memory of a training step: GB for each patch, and GB for the weights.

    Args:
        network: On torch's meta device.
        patch_size: Input voxels.
        slice_axis: The axis across which a 2-D network takes slices; None in 3-D.
    """
    image = torch.zeros(1, input_channels(network), *patch_size, device="meta")
    layers, _ = _pass(network, image, slice_axis)
    outputs = sum(output for _, output in layers)
    weights = sum(weight.numel() for weight in network.parameters())
    return (
        outputs * FLOAT_BYTES * OUTPUTS_KEPT / 1e9,
        (weights * WEIGHTS_KEPT + COPIES_BACKWARD * _widest(network))
        * FLOAT_BYTES
        / 1e9,
    )


def _widest(network: Network) -> int:
    """Values of the largest weights with a wide kernel; 0 without any."""
    wide = (
        weights.numel()
        for weights in network.parameters()
        if weights.ndim > 2 and max(weights.shape[2:]) >= WIDE
    )
    return max(wide, default=0)


def _pass(
    network: Network, image: Tensor, slice_axis: int | None
) -> tuple[list[tuple[int, int]], int]:
    """Values in and out of each layer that holds no other layer, and of the logits.

    The network and the image lie on torch's meta device: only shapes are computed.
    """
    layers: list[tuple[int, int]] = []

    def look(_: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
        layers.append((given[0].numel(), output.numel()))

    hooks = [
        layer.register_forward_hook(look)
        for layer in network.modules()
        if not list(layer.children())
    ]
    with shapes_of(type(network)):
        logits = apply_network(network, image, slice_axis)
    for hook in hooks:
        hook.remove()
    return layers, logits.numel()
