"""Training: what a training is made of, and its step."""

import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from segpipe.augmentation import AugmentationParams, augment
from segpipe.calibration import fit_temperature
from segpipe.compute import Compute, memory_demanded
from segpipe.distributed import World
from segpipe.errors import DataError
from segpipe.fingerprint import digest_json
from segpipe.losses import Loss, LossParams, build_loss, keep_some
from segpipe.network import (
    Network,
    NetworkName,
    NetworkSpec,
    SegmenterSpec,
    apply_network,
    build_network,
    margin_of,
)
from segpipe.optimization import OptimizerParams, build_optimizer, learning_rate
from segpipe.params import Params
from segpipe.paths import Paths
from segpipe.plan import (
    ClassCounts,
    PatchPlan,
    Plan,
    read_patch_plan,
    read_plan,
    read_split,
)
from segpipe.pretrained import load_pretrained, start_from
from segpipe.progress import Progress
from segpipe.sampling import Batch, TrainingCase, Triple, draw_batch, read_case
from segpipe.segmenter import Segmenter

log = logging.getLogger(__name__)
CALIBRATION_PATCHES, CALIBRATION_VOXELS = 64, 4000  # and voxels of each


class TrainParams(Params):
    """Section train.MODEL of params.yaml.

    Attributes:
        network: The system of the literature.
        base_channels: Its width; the paper's 64, 32 and 16 are unet2d, unet3d, vnet.
        padding: ``valid`` as the U-Net papers have it, or ``same`` (V-Net: same).
        loss: What the training lowers.
        class_weights: w_c: ``balanced``, N / (K N_k) over the fold's training cases, or
            ``none``, 1.
        border_weights: Add the border term of weigh to the weight.
        sparse_annotation: Learn only from the voxels that annotate chose.
        slice_axis: Of a 2-D network on volumes: across which axis it takes slices;
            ``auto`` is the axis of the largest spacing.
        patch_size: Input voxels along i, j, k; ``auto``, what fits the memory; or
            ``full``, whole images: what covers the largest case.
        batch_size: Patches a step, of all processes together, or ``auto``: the plan's.
        sampling: Where patches are drawn: ``foreground``, a share of them centred on a
            structure; or ``balanced``, on a voxel of each class alike often.
        foreground_fraction: The share, of foreground.
        augmentation: Random transforms of patches.
        optimizer: How weights change.
        start_from: ``none``, or FOLDER@DIGEST of a segmenter whose weights to start
            from: to train it longer, on more data, or for other structures.
        epochs: An epoch is steps_per_epoch steps, then perhaps a validation.
        steps_per_epoch: Batches an epoch.
        validation_interval: Epochs between validations on whole held-out cases.
        validation_overlap_fraction: Of the tiles in these.
        calibrate: Divide logits by the temperature that suits the validation cases.
        postprocessing: ``auto``, rules chosen on the validation cases; or ``none``.
        seed: Of all chance in the training.
    """

    network: NetworkName
    base_channels: int
    padding: Literal["valid", "same"]
    loss: LossParams
    class_weights: Literal["balanced", "none"]
    border_weights: bool
    sparse_annotation: bool
    slice_axis: Literal["auto", 0, 1, 2]
    patch_size: Literal["auto", "full"] | tuple[int, int, int]
    batch_size: Literal["auto"] | int
    sampling: Literal["foreground", "balanced"]
    foreground_fraction: float
    augmentation: AugmentationParams
    optimizer: OptimizerParams
    start_from: str
    epochs: int
    steps_per_epoch: int
    validation_interval: int
    validation_overlap_fraction: float
    calibrate: bool
    postprocessing: Literal["auto", "none"]
    seed: int

    @property
    def dimensions(self) -> int:
        """2 or 3: what the network convolves over."""
        return 2 if self.network == "unet2d" else 3


@dataclass(frozen=True, eq=False)
class Task:
    """What does not change during a training.

    Attributes:
        params: The section.
        plan: Of all models.
        patch: Of this model.
        spec: Of the segmenter that comes of it.
        compute: Where and how.
        loss: What is lowered.
        training: Cases to learn from.
        validation: Cases to choose the epoch by.
        class_weights: w_c, by class.
        pretrained: Whose weights to start from.
        world: The processes that share each batch.
        seed: Of all chance.
        checkpoints: Their folder.
    """

    params: TrainParams
    plan: Plan
    patch: PatchPlan
    spec: SegmenterSpec
    compute: Compute
    loss: Loss
    training: list[TrainingCase]
    validation: list[TrainingCase]
    class_weights: np.ndarray
    pretrained: Segmenter | None
    world: World
    seed: int
    checkpoints: Path


def build_task(
    params: TrainParams,
    model: str,
    fold: int,
    compute: Compute,
    paths: Paths,
    record: dict[str, Any],
    world: World,
) -> Task:
    """Read what a training needs.

    Args:
        params: The section.
        model: Its name.
        fold: Which cases are held out.
        compute: Where and how.
        paths: Of the project.
        record: What it is made from, with its ``fingerprint``.
        world: The processes that share each batch.

    Raises:
        DataError: If there is no such fold, or not the segmenter to start from.
    """
    plan = read_plan(paths.artifacts)
    patch = read_patch_plan(paths.artifacts, model)
    folds = read_split(paths.artifacts).folds
    if fold >= len(folds):
        raise DataError(
            f"{paths.params}, folds: expected numbers below split.n_folds = "
            f"{len(folds)}, found {fold}; raise split.n_folds or drop the fold"
        )

    def read(names: tuple[str, ...]) -> list[TrainingCase]:
        return [
            read_case(
                paths.artifacts,
                name,
                border=params.border_weights,
                sparse=params.sparse_annotation,
                balanced=params.sampling == "balanced",
                matched=params.augmentation.histogram_matching > 0,
                seed=params.seed,
            )
            for name in names
        ]

    network = NetworkSpec(
        name=params.network,
        in_channels=len(plan.channels),
        out_channels=len(plan.values),
        base_channels=params.base_channels,
        padding=params.padding,
    )
    spec = SegmenterSpec(
        format_version=1,
        model=model,
        network=network,
        plan=plan,
        patch_size=patch.patch_size,
        slice_axis=patch.slice_axis,
        temperatures=(1.0,),
    )
    training = read(folds[fold].training)
    without = sum(not set(case.places) - {0} for case in training)
    if without and world.first:
        log.warning(
            "%d of %d training cases hold no labelled structure: their patches are "
            "drawn anywhere",
            without,
            len(training),
        )
    return Task(
        params=params,
        plan=plan,
        patch=patch,
        spec=spec,
        compute=compute,
        loss=build_loss(params.loss, world.total),
        training=training,
        validation=read(folds[fold].validation),
        class_weights=_class_weights(params, plan, folds[fold].training, paths),
        pretrained=load_pretrained(params.start_from, paths.root),
        world=world,
        seed=int(digest_json([params.seed, model, fold])[:8], 16),
        checkpoints=paths.checkpoints / "train" / record["fingerprint"][:20],
    )


def _class_weights(
    params: TrainParams, plan: Plan, training: tuple[str, ...], paths: Paths
) -> np.ndarray:
    """w_c of the U-Net paper over the fold's training cases: mean 1 under the data.

    Source:
        Ronneberger 2015, arXiv:1505.04597, section 3, says "to balance the class
        frequencies"; the form N / (K N_k) is docs/decisions/0004-u-net.md.
    """
    if params.class_weights == "none":
        return np.ones(len(plan.values), dtype=np.float32)
    counts = ClassCounts.read(paths.artifacts / "weigh" / "counts.json").counts
    total = np.sum([counts[name] for name in training], axis=0).astype(np.float64)
    weights = total.sum() / (len(total) * np.maximum(total, 1))
    return np.where(total > 0, weights, 0).astype(np.float32)


def begin(task: Task) -> Progress:
    """A new network or a pretrained one; or what an interrupted training came to."""
    torch.manual_seed(task.seed)
    network = build_network(task.spec.network)
    if task.pretrained is not None:
        start_from(network, task.pretrained, task.params.network)
    network.to(task.compute.device)
    flat = task.patch.slice_axis is not None
    layout = torch.channels_last if flat else torch.channels_last_3d
    network.to(memory_format=layout)  # type: ignore[call-overload]
    optimizer = build_optimizer(task.params.optimizer, network.parameters())
    progress = Progress(network, optimizer)
    progress.resume(task.checkpoints)
    if task.compute.compile:
        network.compile(dynamic=False)
    return progress


def rate_of(params: TrainParams, step: int) -> float:
    """The learning rate of a step."""
    steps = params.epochs * params.steps_per_epoch
    return learning_rate(params.optimizer, step=step, steps=steps)


@dataclass(frozen=True, eq=False)
class Drawn:
    """Patches as they were cut from their cases.

    Attributes:
        batch: The patches.
        seeds: One a patch, of what augmentation does to it.
    """

    batch: Batch
    seeds: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Patches:
    """What a step learns from, on the device.

    Attributes:
        image: The network's input.
        reference: Class indices of its output, negative where not annotated.
        weight: Of the loss.
        cases: Name of the case of each patch.
    """

    image: Float32[Tensor, "B channel i j k"]
    reference: Int64[Tensor, "B oi oj ok"]
    weight: Float32[Tensor, "B oi oj ok"]
    cases: tuple[str, ...]


def draw(task: Task, margin: Triple, step: int) -> Drawn:
    """This process's patches of a step, as they are; the step alone is their chance."""
    params = task.params
    rngs = [
        np.random.default_rng([task.seed, step, number])
        for number in task.world.share_of(task.patch.batch_size)
    ]
    batch = draw_batch(
        task.training,
        patch_size=task.patch.patch_size,
        margin=margin,
        class_weights=task.class_weights,
        foreground_fraction=(
            None if params.sampling == "balanced" else params.foreground_fraction
        ),
        rngs=rngs,
    )
    return Drawn(batch, tuple(int(rng.integers(2**62)) for rng in rngs))


def vary(task: Task, drawn: Drawn) -> Patches:
    """The patches on the device, augmented there."""
    params, device, batch = task.params, task.compute.device, drawn.batch
    generators = [torch.Generator().manual_seed(seed) for seed in drawn.seeds]
    image, reference, weight = augment(
        torch.from_numpy(batch.image).to(device),
        torch.from_numpy(batch.reference).to(device),
        torch.from_numpy(batch.weight).to(device),
        params=params.augmentation,
        spacing=task.plan.spacing,
        slice_axis=task.patch.slice_axis,
        generators=generators,
        quantiles=(
            None
            if batch.quantiles is None
            else torch.from_numpy(batch.quantiles).to(device)
        ),
    )
    weight = keep_some(weight, params.loss.kept_fraction, generators)
    return Patches(image, reference, weight, batch.cases)


def learn(task: Task, progress: Progress, step: int, patches: Patches) -> float:
    """Forward, backward, update; the loss over all processes' patches.

    Raises:
        DataError: If the memory is too small, or the loss is no number.
    """
    params, compute = task.params, task.compute
    torch.manual_seed(task.seed + step)
    for group in progress.optimizer.param_groups:
        group["lr"] = rate_of(params, step)
    progress.network.train()
    progress.optimizer.zero_grad(set_to_none=True)
    with memory_demanded("lower batch_size, patch_size or base_channels"):
        with compute.autocast():
            logits = apply_network(
                progress.network, patches.image, task.patch.slice_axis
            )
        loss = task.loss(logits, patches.reference, patches.weight)
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
    return value


def calibrate(network: Network, task: Task) -> float:
    """The temperature of the network for patches from all over the validation cases."""
    rng = np.random.default_rng([task.seed, task.params.epochs])
    margin = margin_of(network, task.patch.slice_axis)
    network.to(task.compute.device).eval()
    logits, references = [], []
    for _ in range(CALIBRATION_PATCHES):
        batch = draw_batch(
            task.validation,
            patch_size=task.patch.patch_size,
            margin=margin,
            class_weights=np.ones_like(task.class_weights),
            foreground_fraction=0.0,
            rngs=[rng],
        )
        known = np.flatnonzero(batch.reference >= 0)
        chosen = rng.choice(known, min(CALIBRATION_VOXELS, len(known)))
        image = torch.from_numpy(batch.image).to(task.compute.device)
        with torch.inference_mode(), task.compute.autocast():
            found = apply_network(network, image, task.patch.slice_axis)
        logits.append(found[0].float().cpu().flatten(1).T[chosen])
        references.append(torch.from_numpy(batch.reference).flatten()[chosen])
    temperature = fit_temperature(torch.cat(logits), torch.cat(references))
    log.info("calibrated: temperature %.3f", temperature)
    return temperature
