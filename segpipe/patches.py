"""How large a patch of a network fits a stated memory budget."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from segpipe.errors import DataError
from segpipe.network import Network, NetworkSpec, apply_network, build_network
from segpipe.plan import Fingerprint, PatchPlan

Triple = tuple[int, int, int]
# A training step keeps each layer's output and, going backward, a gradient of the size.
OUTPUTS_KEPT = 2
# Weights, gradients, momentum and the copy of the best weights.
WEIGHTS_KEPT = 4


def plan_patch(
    spec: NetworkSpec,
    *,
    fingerprint: Fingerprint,
    slice_axis: int | None,
    patch_size: Literal["auto", "full"] | Triple,
    batch_size: Literal["auto"] | int,
    memory_gb: float,
    largest_batch: int,
) -> PatchPlan:
    """Choose patch and batch size: the largest patch of which two fit, then the batch.

    The patch starts at the smallest valid size whose output covers the median prepared
    case; its largest axis shrinks step by step until a batch of two fits.

    Args:
        spec: The network.
        fingerprint: Of the cases, for their prepared shapes.
        slice_axis: Of a 2-D network.
        patch_size: Fixed by the user, or ``auto``; ``full`` covers the largest case.
        batch_size: Fixed by the user, or ``auto``.
        memory_gb: For a training step.
        largest_batch: Bound of an automatic batch size.

    Raises:
        DataError: If a fixed patch is not valid for the network, or nothing fits.
    """
    with torch.device("meta"):
        network = build_network(spec)
    if patch_size == "auto":
        wanted = 2 if batch_size == "auto" else batch_size
        median = fingerprint.median_prepared_shape
        size = _largest(network, median, slice_axis, wanted, memory_gb)
    elif patch_size == "full":
        size = _covering(network, fingerprint.largest_prepared_shape, slice_axis)
    else:
        _check(network, patch_size, slice_axis)
        size = patch_size
    each, fixed = _memory_gb(network, size, slice_axis)
    fitting = int((memory_gb - fixed) / each)
    batch = max(1, min(fitting, largest_batch)) if batch_size == "auto" else batch_size
    return PatchPlan(
        format_version=1,
        patch_size=size,
        batch_size=batch,
        slice_axis=slice_axis,
        memory_gb=round(fixed + batch * each, 3),
    )


def _check(network: Network, patch_size: Triple, slice_axis: int | None) -> None:
    for axis, size in enumerate(patch_size):
        if axis != slice_axis:
            network.output_size(size)
        elif size != 1:
            raise DataError(
                f"patch_size: expected 1 along the slice axis {axis} of a 2-D network, "
                f"found {list(patch_size)}; set it to 1 or choose another slice_axis"
            )


def _largest(
    network: Network,
    median_shape: Triple,
    slice_axis: int | None,
    batch_size: int,
    memory_gb: float,
) -> Triple:
    outputs = median_shape
    while True:
        size = _covering(network, outputs, slice_axis)
        each, fixed = _memory_gb(network, size, slice_axis)
        if fixed + batch_size * each <= memory_gb:
            return size
        # The largest axis gives way, to the next smaller valid size.
        axis = size.index(max(size))
        smaller = size[axis] - 2 * network.margin - network.stride
        if smaller < 1:
            raise DataError(
                f"plan.memory_gb: expected room for two of the smallest patches, found "
                f"{memory_gb} GB against {fixed + batch_size * each:.2f} GB; raise it, "
                "or lower base_channels or batch_size"
            )
        i, j, k = (smaller if n == axis else outputs[n] for n in range(3))
        outputs = (i, j, k)


def _covering(network: Network, shape: Triple, slice_axis: int | None) -> Triple:
    """The smallest valid input whose output is at least so large."""
    i, j, k = (
        1 if axis == slice_axis else network.input_size(size)
        for axis, size in enumerate(shape)
    )
    return i, j, k


def _memory_gb(
    network: Network, patch_size: Triple, slice_axis: int | None
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
