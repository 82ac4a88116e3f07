"""Training step: draw patches, augment them, update the network."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from segpipe.images.grid import Triple
from segpipe.networks.build import apply_levels, apply_loss, apply_network
from segpipe.project.errors import DataError
from segpipe.segmenter.compute import memory_demanded
from segpipe.training.checkpoints import Progress
from segpipe.training.losses import keep_some, supervise
from segpipe.training.optimization import average_weights, learning_rate
from segpipe.training.patches.augmentation import augment
from segpipe.training.patches.geometry import (
    draw_sources,
    take_image,
    take_reference,
    window_at,
)
from segpipe.training.patches.sampling import (
    Patch,
    cut_patch,
    draw_pool,
    draw_spot,
    output_window,
    stack_quantiles,
)
from segpipe.training.task.build import Task
from segpipe.training.task.pretrained import rest_what_is_frozen
from segpipe.training.task.section import ALL, TrainParams


def rate_of(params: TrainParams, step: int) -> float:
    """Learning rate of a step, counted from 0, in the schedule of the training."""
    steps = params.epochs * params.steps_per_epoch
    return learning_rate(params.optimizer, step=step, steps=steps)


@dataclass(frozen=True, eq=False)
class Drawn:
    """Patches before augmentation.

    Attributes:
        patches: The patches, or what they are interpolated from.
        seeds: Seed of the flips and grey values of each patch.
    """

    patches: tuple[Patch, ...]
    seeds: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Patches:
    """Augmented patches on the device of the network.

    Attributes:
        image: Input of the network.
        reference: Class indices of the output window, negative where not annotated.
        weight: Weight of each voxel in the loss.
        cases: Name of the case of each patch.
    """

    image: Float32[Tensor, "B channel i j k"]
    reference: Int64[Tensor, "B oi oj ok"]
    weight: Float32[Tensor, "B oi oj ok"]
    cases: tuple[str, ...]


def draw_patches(task: Task, margin: Triple, step: int) -> Drawn:
    """Draw this process's patches of a step.

    Args:
        task: The training.
        margin: Input minus output of the network, a side.
        step: Number of the step; with the task's seed it decides all random choices.
    """
    patches, seeds = [], []
    for number in task.world.share_of(task.patch.batch_size):
        rng = np.random.default_rng([task.seed, step, number])
        patch, seed = _draw_patch(task, margin, rng)
        patches.append(patch)
        seeds.append(seed)
    return Drawn(tuple(patches), tuple(seeds))


def _draw_patch(
    task: Task, margin: Triple, rng: np.random.Generator
) -> tuple[Patch, int]:
    """Draw a patch and the seed of its flips and grey values."""
    params, size, sources = task.params, task.patch.patch_size, None
    window = output_window(size, margin)
    fraction = None if params.sampling == "balanced" else params.foreground_fraction
    cases = draw_pool(task.training, task.group, params.group_fraction, rng)
    spot = draw_spot(cases, window, fraction, rng)
    seed = int(rng.integers(2**62))
    if params.augmentation.moves_voxels:
        case = spot.case.label.shape
        sources = draw_sources(
            params.augmentation,
            window_at(spot.start, window, margin=margin, case=case, place=spot.place),
            spacing=task.plan.spacing,
            slice_axis=task.patch.slice_axis,
            generator=torch.Generator().manual_seed(int(rng.integers(2**62))),
        )
    weights = task.class_weights
    patch = cut_patch(spot, size, margin=margin, class_weights=weights, sources=sources)
    return patch, seed


def augment_patches(task: Task, drawn: Drawn) -> Patches:
    """Move the patches to the device and augment them there."""
    params, device = task.params, task.compute.device
    generators = [torch.Generator().manual_seed(seed) for seed in drawn.seeds]
    found = [_interpolate(patch, device) for patch in drawn.patches]
    image, reference, weight = (torch.stack(part) for part in zip(*found, strict=True))
    quantiles = stack_quantiles(drawn.patches)
    image, reference, weight = augment(
        image,
        reference,
        weight,
        params=params.augmentation,
        slice_axis=task.patch.slice_axis,
        generators=generators,
        quantiles=None if quantiles is None else torch.from_numpy(quantiles).to(device),
        zeros_stay=task.plan.missing_channels == "zeros",
    )
    weight = keep_some(weight, params.loss.kept_fraction, generators)
    cases = tuple(patch.case for patch in drawn.patches)
    return Patches(image, reference, weight, cases)


def _interpolate(patch: Patch, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Image, reference and weight of a patch on the device."""
    image = torch.from_numpy(patch.image).to(device)
    reference = torch.from_numpy(patch.reference).to(device)
    weight = torch.from_numpy(patch.weight).to(device)
    if patch.sources is None:
        return image, reference, weight
    outer, inner = (source.places.to(device) for source in patch.sources)
    return take_image(image, outer), *take_reference(reference, weight, inner)


def train_step(task: Task, progress: Progress, step: int, patches: Patches) -> float:
    """Update the network once: forward pass, backward pass, optimizer step.

    Returns:
        The loss over the patches of all processes.

    Raises:
        DataError: If the memory is too small, or the loss is not finite.
    """
    params = task.params
    torch.manual_seed(task.seed + step)
    for group in progress.optimizer.param_groups:
        group["lr"] = rate_of(params, step)
    progress.network.train()
    if params.learned_part != ALL:
        rest_what_is_frozen(progress.network)
    progress.optimizer.zero_grad(set_to_none=True)
    with memory_demanded("lower batch_size, patch_size or base_channels"):
        loss = _loss(task, progress, step, patches)
        loss.backward()  # type: ignore[no-untyped-call]
    task.world.add_gradients(progress.network)
    if params.optimizer.clip_norm:
        torch.nn.utils.clip_grad_norm_(
            progress.network.parameters(), params.optimizer.clip_norm
        )
    value = float(loss.detach())
    if not math.isfinite(value):
        raise DataError(
            f"step {step}: expected a finite loss, found {value} on patches of "
            f"{', '.join(patches.cases)}; lower optimizer.learning_rate, or set "
            "compute.precision to fp32"
        )
    progress.optimizer.step()
    if progress.average is not None:
        average_weights(
            progress.average, progress.network, share=params.optimizer.ema, step=step
        )
    return value


def _loss(task: Task, progress: Progress, step: int, patches: Patches) -> Tensor:
    """The loss over the patches of all processes, or that which the network brings."""
    if task.params.loss.name == "own":
        numbers = task.world.share_of(task.patch.batch_size)
        chances = [np.random.default_rng([task.seed, step, n, 1]) for n in numbers]
        with task.compute.autocast():
            return apply_loss(
                progress.network,
                patches.image,
                patches.reference,
                patches.weight,
                task.patch.slice_axis,
                seeds=[int(chance.integers(2**62)) for chance in chances],
                total=task.world.total,
            )
    with task.compute.autocast():
        levels = _levels(task, progress, patches)
    return supervise(task.loss, levels, patches.reference, patches.weight)


def _levels(task: Task, progress: Progress, patches: Patches) -> tuple[Tensor, ...]:
    """The logits that the loss sees, at one resolution or at several."""
    image, axis = patches.image, task.patch.slice_axis
    if task.params.loss.deep_supervision:
        return apply_levels(progress.network, image, axis)
    return (apply_network(progress.network, image, axis),)
