"""Networks that have shapes and no values, on torch's meta device.

Torch's own code for some of these shapes is Python, and imports torch's compiler and
sympy: two seconds of every process that plans a tile. Ours is arithmetic.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from segpipe.networks.arithmetic import Window, convolved_size, transposed_size
from segpipe.networks.build import NetworkSpec, build_network
from segpipe.networks.catalogue import NETWORKS, Network
from segpipe.networks.foreign import Foreign

# Functions whose output has the shape of their first argument.
UNSHAPED = (
    functional.batch_norm,
    functional.dropout,
    functional.instance_norm,
    functional.leaky_relu,
    functional.prelu,
    functional.relu,
    torch.prelu,
    Tensor.relu,
    Tensor.scatter,
    Tensor.softmax,
)
Size = int | Sequence[int]  # along each axis
# Functions that give back their first argument with other values.
FILLING = (
    nn.init.constant_,
    nn.init.kaiming_uniform_,
    nn.init.normal_,
    nn.init.uniform_,
    Tensor.normal_,
)


def _convolved(
    image: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Tensor:
    """As ``torch.conv2d`` and ``conv3d``, of which only the shape counts."""
    sizes = image.shape[2:]
    if padding != "same":
        before = 0 if isinstance(padding, str) else padding
        windows = _windows(weight.shape[2:], stride, before, dilation)
        sizes = torch.Size(map(convolved_size, sizes, windows))
    return image.new_empty(len(image), len(weight), *sizes)


def _transposed(
    image: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Size = 0,
    output_padding: Size = 0,
    groups: int = 1,
    dilation: Size = 1,
) -> Tensor:
    """As ``torch.conv_transpose2d`` and so on, of which only the shape counts."""
    windows = _windows(weight.shape[2:], stride, padding, dilation)
    added = _each(output_padding, len(windows))
    sizes = [
        transposed_size(size, window, output_padding=more)
        for size, window, more in zip(image.shape[2:], windows, added, strict=True)
    ]
    return image.new_empty(len(image), weight.shape[1] * groups, *sizes)


def _windows(
    kernel: Sequence[int], stride: Size, padding: Size, dilation: Size
) -> list[Window]:
    """The windows of a convolution or pooling along its axes."""
    rest = (_each(one, len(kernel)) for one in (stride, padding, dilation))
    return [Window(*one) for one in zip(kernel, *rest, strict=True)]


def _each(value: Size, axes: int) -> Sequence[int]:
    """A value for each axis, of which torch takes one or all."""
    values = (value,) if isinstance(value, int) else tuple(value)
    return values if len(values) == axes else values * axes


def _joined(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """As ``torch.cat``, of which only the shape counts."""
    shape = list(tensors[0].shape)
    shape[dim] = sum(tensor.shape[dim] for tensor in tensors)
    return tensors[0].new_empty(shape)


def _linear(image: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """As ``functional.linear``, of which only the shape counts."""
    return image.new_empty(*image.shape[:-1], len(weight))


def _pooled(
    image: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    **_: Any,
) -> Tensor:
    """As ``functional.max_pool2d`` and so on, of which only the shape counts."""
    axes = image.ndim - 2
    steps = kernel_size if stride is None else stride
    windows = _windows(_each(kernel_size, axes), steps, padding, dilation)
    sizes = [
        convolved_size(size, window, ceil=ceil_mode)
        for size, window in zip(image.shape[2:], windows, strict=True)
    ]
    return image.new_empty(*image.shape[:2], *sizes)


def _pooled_with_places(*args: Any, **named: Any) -> tuple[Tensor, Tensor]:
    """As ``functional.max_pool2d`` that also returns where the largest values were."""
    pooled = _pooled(*args, **named)
    return pooled, pooled.new_empty(pooled.shape, dtype=torch.int64)


def _averaged(
    image: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    *_: Any,
) -> Tensor:
    """As ``functional.avg_pool2d`` and so on, of which only the shape counts."""
    return _pooled(image, kernel_size, stride, padding, ceil_mode=ceil_mode)


def _picked(image: Tensor, places: Any) -> Tensor:
    """As ``image[places]``, of which only the shape counts for a list of channels."""
    if isinstance(places, tuple) and isinstance(places[-1], list):
        return image.new_empty(len(image), len(places[-1]), *image.shape[2:])
    return image[places]


def _interpolated(
    image: Tensor,
    size: Size | None = None,
    scale_factor: float | Sequence[float] | None = None,
    **_: Any,
) -> Tensor:
    """As ``functional.interpolate``, of which only the shape counts."""
    axes = image.ndim - 2
    if scale_factor is None:
        assert size is not None, "either is given"
        return image.new_empty(*image.shape[:2], *_each(size, axes))
    factors = (
        [scale_factor] * axes if isinstance(scale_factor, float | int) else scale_factor
    )
    sizes = (math.floor(n * by) for n, by in zip(image.shape[2:], factors, strict=True))
    return image.new_empty(*image.shape[:2], *sizes)


def _largest(image: Tensor, dim: int) -> Tensor:
    """As ``Tensor.amax`` over one axis, of which only the shape counts."""
    return image.new_empty(image.shape[:dim] + image.shape[dim + 1 :])


SHAPED: dict[Callable[..., Any], Callable[..., Any]] = {
    torch.conv2d: _convolved,
    torch.conv3d: _convolved,
    torch.conv_transpose2d: _transposed,
    torch.conv_transpose3d: _transposed,
    torch.cat: _joined,
    functional.avg_pool2d: _averaged,
    functional.avg_pool3d: _averaged,
    functional.interpolate: _interpolated,
    functional.linear: _linear,
    functional.max_pool2d: _pooled,
    functional.max_pool2d_with_indices: _pooled_with_places,
    functional.max_pool3d: _pooled,
    Tensor.__getitem__: _picked,
    Tensor.amax: _largest,
}


class Shapes(TorchFunctionMode):
    """Computes some shapes on the meta device without torch's own code for them.

    Whether tensors fit each other is not checked there.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """The output of a function, of which only the shape counts."""
        named = kwargs or {}
        if func in UNSHAPED:
            return args[0].new_empty(args[0].shape)
        if func in FILLING:
            return args[0] if args else named["tensor"]
        if func in SHAPED:
            return SHAPED[func](*args, **named)
        if func in (torch.add, Tensor.add, Tensor.mul) and not named:
            shapes = [value.shape for value in args if isinstance(value, Tensor)]
            return args[0].new_empty(np.broadcast_shapes(*shapes))
        return func(*args, **named)


def shapes_of(kind: type[nn.Module]) -> AbstractContextManager[object]:
    """Where a network of some class is built, or computes shapes, without values.

    MONAI's are left to torch: their arguments may call for any function of it.
    """
    return nullcontext() if issubclass(kind, Foreign) else Shapes()


def build_shapes(spec: NetworkSpec) -> Network:
    """Build a network on torch's meta device, of ours without initial weights."""
    with torch.device("meta"), shapes_of(NETWORKS[spec.name]):
        return build_network(spec)
