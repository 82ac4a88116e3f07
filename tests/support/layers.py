"""What the layers of a network give, one by one."""

import torch
from torch import nn

from segpipe.networks.build import NetworkSpec, apply_network, build_network


def count_outputs(
    spec: NetworkSpec, size: tuple[int, int, int], slice_axis: int | None
) -> int:
    """Values that all layers without layers in them give for one patch, on the CPU."""
    outputs: list[int] = []

    def look(_: nn.Module, given: tuple[torch.Tensor, ...], out: torch.Tensor) -> None:
        outputs.append(out.numel())

    network = build_network(spec)
    for layer in network.modules():
        if not list(layer.children()):
            layer.register_forward_hook(look)
    with torch.no_grad():
        apply_network(network, torch.zeros(1, spec.in_channels, *size), slice_axis)
    return sum(outputs)
