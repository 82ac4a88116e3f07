"""Patches: the largest that fits the memory, and how many of it."""

from dataclasses import dataclass
from typing import Literal

from segpipe.images.grid import Spacing, Triple
from segpipe.networks.build import NetworkSpec, size_rule
from segpipe.networks.catalogue import Network
from segpipe.networks.layers import SizeRule
from segpipe.networks.memory import training_memory_gb
from segpipe.networks.shapes import build_shapes
from segpipe.project.errors import DataError
from segpipe.segmenter.plan import DatasetProfile, PatchPlan


def plan_patch(
    spec: NetworkSpec,
    *,
    profile: DatasetProfile,
    spacing: Spacing,
    slice_axis: int | None,
    patch_size: Literal["auto", "full"] | Triple,
    batch_size: Literal["auto"] | int,
    memory_gb: float,
    largest_batch: int,
) -> PatchPlan:
    """Choose the largest patch of which two fit the memory, then the batch size.

    The patch starts at the smallest valid size whose output covers the median prepared
    case; its largest axis shrinks step by step until a batch of two fits. A network
    that normalizes by the statistics of its input needs more than one voxel at its
    deepest level.

    Args:
        spec: Spec of the network.
        profile: Profile of the cases, with their prepared shapes.
        spacing: Spacing of the prepared grid, which some networks follow.
        slice_axis: Axis across which a 2-D network takes slices; None in 3-D.
        patch_size: A fixed size in voxels, ``auto``, or ``full``, which covers the
            largest case.
        batch_size: A fixed size, or ``auto``.
        memory_gb: Memory budget of a training step.
        largest_batch: Upper bound of an automatic batch size.

    Raises:
        DataError: If a fixed patch is not valid for the network, or no patch fits the
            memory.
    """
    shaped = _Shaped(spec, spacing, slice_axis)
    if patch_size == "auto":
        wanted = 2 if batch_size == "auto" else batch_size
        size = _largest(shaped, profile.median_prepared_shape, wanted, memory_gb)
    elif patch_size == "full":
        size = shaped.covering(profile.largest_prepared_shape)
    else:
        _check(shaped, patch_size)
        size = patch_size
    each, fixed = training_memory_gb(shaped.network(size), size, slice_axis)
    fitting = int((memory_gb - fixed) / each)
    batch = max(1, min(fitting, largest_batch)) if batch_size == "auto" else batch_size
    return PatchPlan(
        format_version=1,
        patch_size=size,
        batch_size=batch,
        slice_axis=slice_axis,
        memory_gb=round(fixed + batch * each, 3),
        topology=spec.for_patch(size, spacing, slice_axis).topology,
    )


@dataclass(frozen=True)
class _Shaped:
    """A network before its patch is chosen.

    Attributes:
        spec: Its spec, without a topology.
        spacing: Spacing of the prepared grid.
        slice_axis: The axis across which a 2-D network takes slices; None in 3-D.
    """

    spec: NetworkSpec
    spacing: Spacing
    slice_axis: int | None

    def network(self, patch_size: Triple) -> Network:
        """The network for a patch, on torch's meta device."""
        spec = self.spec.for_patch(patch_size, self.spacing, self.slice_axis)
        return build_shapes(spec)

    def rules(self, patch_size: Triple) -> dict[int, SizeRule]:
        """The sizes that the network for a patch takes along each of its axes."""
        network = self.network(patch_size)
        return {
            axis: size_rule(network, axis, self.slice_axis)
            for axis in range(3)
            if axis != self.slice_axis
        }

    def covering(self, shape: Triple) -> Triple:
        """The smallest valid input whose output is at least as large as a shape."""
        rules = self.rules(shape)
        i, j, k = (
            rules[axis].input_size(size) if axis in rules else 1
            for axis, size in enumerate(shape)
        )
        return self.widened((i, j, k))

    def widened(self, patch_size: Triple) -> Triple:
        """The patch, or twice its size along an axis if it has one voxel at the bottom.

        A single voxel has no variance by which a network could normalize.
        """
        rules = self.rules(patch_size)
        alone = all(patch_size[axis] == rule.stride for axis, rule in rules.items())
        if not self.spec.sees_tile_statistics or not alone:
            return patch_size
        first = min(rules)
        i, j, k = (size * (1 + (n == first)) for n, size in enumerate(patch_size))
        return i, j, k


def _check(shaped: _Shaped, patch_size: Triple) -> None:
    """Refuse a fixed patch that is not valid for the network."""
    rules = shaped.rules(patch_size)
    for axis, size in enumerate(patch_size):
        if axis in rules:
            rules[axis].output_size(size)
        elif size != 1:
            raise DataError(
                f"patch_size: expected 1 along the slice axis {axis} of a 2-D network, "
                f"found {list(patch_size)}; set it to 1 or choose another slice_axis"
            )
    works = shaped.widened(patch_size)
    if works != patch_size:
        raise DataError(
            "patch_size: expected more than one voxel at the deepest level of the "
            f"network, which normalizes by their values, found {list(patch_size)}; the "
            f"smallest patch that works is {list(works)}"
        )


def _largest(
    shaped: _Shaped, median_shape: Triple, batch_size: int, memory_gb: float
) -> Triple:
    """The largest patch of which a batch fits the memory."""
    outputs = median_shape
    while True:
        size = shaped.covering(outputs)
        network = shaped.network(size)
        each, fixed = training_memory_gb(network, size, shaped.slice_axis)
        if fixed + batch_size * each <= memory_gb:
            return size
        # Shrink the largest axis to the next smaller valid size.
        axis = size.index(max(size))
        rule = size_rule(network, axis, shaped.slice_axis)
        smaller = size[axis] - 2 * rule.margin - rule.stride
        i, j, k = (smaller if n == axis else outputs[n] for n in range(3))
        outputs = (i, j, k)
        if smaller < 1 or shaped.covering(outputs) == size:
            raise DataError(
                f"plan.memory_gb: expected room for two of the smallest patches, found "
                f"{memory_gb} GB against {fixed + batch_size * each:.2f} GB; raise it, "
                "or lower base_channels or batch_size"
            )
