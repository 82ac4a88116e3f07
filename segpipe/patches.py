"""How large a patch of a network fits a stated memory budget."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from segpipe.errors import DataError
from segpipe.plan import PatchPlan
from segpipe.segmenter import Network, NetworkSpec, apply_network, build_network

Triple = tuple[int, int, int]
# A training step keeps each layer's output and, going backward, a gradient of the size.
OUTPUTS_KEPT = 2
# Weights, gradients, momentum and the copy of the best weights.
WEIGHTS_KEPT = 4


def plan_patch(
    spec: NetworkSpec,
    *,
    median_shape: Triple,
    slice_axis: int | None,
    patch_size: Triple | None,
    batch_size: int | None,
    memory_gb: float,
    largest_batch: int,
) -> PatchPlan:
    """Choose patch and batch size: the largest patch of which two fit, then the batch.

    The patch starts at the smallest valid size whose output covers the median prepared
    case; its largest axis shrinks step by step until a batch of two fits.

    Args:
        spec: The network.
        median_shape: Of the prepared cases.
        slice_axis: Of a 2-D network.
        patch_size: Fixed by the user, or None.
        batch_size: Fixed by the user, or None.
        memory_gb: For a training step.
        largest_batch: Bound of an automatic batch size.

    Raises:
        DataError: If a fixed patch is not valid for the network, or nothing fits.
    """
    with torch.device("meta"):
        network = build_network(spec)
    wanted = batch_size or 2
    if patch_size is not None:
        _check(network, patch_size, slice_axis)
        size = patch_size
    else:
        size = _largest(network, median_shape, slice_axis, wanted, memory_gb)
    each, fixed = _memory_gb(network, size, slice_axis)
    if batch_size is None:
        fitting = int((memory_gb - fixed) / each)
        batch_size = max(1, min(fitting, largest_batch))
    return PatchPlan(
        format_version=1,
        patch_size=size,
        batch_size=batch_size,
        slice_axis=slice_axis,
        memory_gb=round(fixed + batch_size * each, 3),
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
    outputs = [1 if axis == slice_axis else n for axis, n in enumerate(median_shape)]
    while True:
        sizes = [
            1 if axis == slice_axis else network.input_size(size)
            for axis, size in enumerate(outputs)
        ]
        size = (sizes[0], sizes[1], sizes[2])
        each, fixed = _memory_gb(network, size, slice_axis)
        if fixed + batch_size * each <= memory_gb:
            return size
        # The largest axis gives way, to the next smaller valid size.
        axis = sizes.index(max(sizes))
        smaller = sizes[axis] - 2 * network.margin - network.stride
        if smaller < 1:
            raise DataError(
                f"plan.memory_gb: expected room for two of the smallest patches, found "
                f"{memory_gb} GB against {fixed + batch_size * each:.2f} GB; raise it, "
                "or lower base_channels or batch_size"
            )
        outputs[axis] = smaller


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
