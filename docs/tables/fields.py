"""Receptive fields, measured: how many pixels reach an output, along one axis."""

from collections.abc import Callable
from itertools import count
from typing import Any
from unittest import mock

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from segpipe.networks import switches
from segpipe.networks.catalogue import NETWORKS, Network
from segpipe.networks.layers import SizeRule
from segpipe.networks.topology import Topology
from segpipe.networks.upsampling import Switches, nearest

Reached = Callable[[int, int], Bool[Tensor, " output"]]


def receptive_field(network: Network) -> int:
    """Pixels along an axis that reach an output, at most.

    NaN goes through a convolution whatever its weights are. It takes the place of all
    pixels up to one, and of all from one on: the last ones that do not reach an output
    lie beside its field. Outputs see differently much by their place in a stride; the
    first, the middle and the last of a stride are looked at.

    Args:
        network: As `narrow` gives it.
    """
    _without_statistics(network.eval())
    rule = _rules(network)[0]
    for strides in (4 * 2**n for n in count()):
        length = rule.input_size(strides * rule.stride)
        reached = _propagation(network, length)
        first = len(reached(0, 0)) // (2 * rule.stride) * rule.stride
        places = {first, first + rule.stride // 2, first + rule.stride - 1}
        ends = reached(0, 1) | reached(length - 1, length)
        if not any(bool(ends[place]) for place in places):
            return max(_width(reached, length, place) for place in places)
    raise AssertionError("a field has an end")


def narrow(name: str, **options: Any) -> Network:
    """A network of the catalogue as narrow, and as short along other axes, as can be.

    Args:
        name: Name of the network.
        options: Further arguments of its class.
    """
    kind: Any = NETWORKS[name]
    usual: Topology | None = getattr(kind, "usual", None)
    if usual is not None:
        ones = (1,) * (kind.dimensions - 1)
        options["topology"] = usual.model_copy(
            update={
                "strides": tuple((first, *ones) for first, *_ in usual.strides),
                "kernels": tuple((first, *ones) for first, *_ in usual.kernels),
            }
        )
    made: Network = kind(
        1,
        2,
        base_channels=1,
        padding="same" if "same" in kind.paddings else "valid",
        **options,
    )
    return made


def _rules(network: Network) -> tuple[SizeRule, ...]:
    """The sizes that a network takes along each axis."""
    if isinstance(network.sizes, SizeRule):
        return (network.sizes,) * network.dimensions
    return network.sizes


def _without_statistics(network: nn.Module) -> None:
    """Take out, in place, normalization, through which all of an image is seen."""
    for layer in list(network.modules()):
        for name, child in list(layer.named_children()):
            if isinstance(child, nn.modules.batchnorm._BatchNorm):
                setattr(layer, name, nn.Identity())


def _propagation(network: Network, length: int) -> Reached:
    """What tells which outputs NaN in the columns from one to another reaches."""
    channels = next(network.parameters()).shape[1]
    others = [rule.input_size(1) for rule in _rules(network)[1:]]

    def reached(start: int, stop: int) -> Bool[Tensor, " output"]:
        image = torch.zeros(1, channels, length, *others)
        image[:, :, start:stop] = torch.nan
        # A switch is one place, but the maximum may stand anywhere in its window.
        anywhere = mock.patch.object(switches, "max_unpool", _anywhere)
        with anywhere, torch.inference_mode():
            logits: Tensor = network(image)
        return logits.isnan().flatten(3).any(-1).any(1)[0]

    cached: dict[tuple[int, int], Tensor] = {}

    def remembered(start: int, stop: int) -> Bool[Tensor, " output"]:
        if (start, stop) not in cached:
            cached[start, stop] = reached(start, stop)
        return cached[start, stop]

    return remembered


def _anywhere(features: Tensor, _: Switches) -> Tensor:
    return nearest(features, 2)


def _width(reached: Reached, length: int, place: int) -> int:
    """Pixels from the first to the last that reach the output at a place."""
    outside, inside = 0, length  # columns before these
    while inside - outside > 1:
        middle = (outside + inside) // 2
        if reached(0, middle)[place]:
            inside = middle
        else:
            outside = middle
    first = outside
    inside, outside = 0, length  # columns from these on
    while outside - inside > 1:
        middle = (inside + outside) // 2
        if reached(middle, length)[place]:
            inside = middle
        else:
            outside = middle
    return inside - first + 1
