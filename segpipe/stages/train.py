"""train: one network of one fold; the training loop, in plain sight."""

import csv
import io
import logging
import math
import shutil
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from tqdm import tqdm

from segpipe.augmentation import AugmentationParams, augment
from segpipe.checkpoints import drop_checkpoint, load_checkpoint, save_checkpoint
from segpipe.compute import Compute, memory_demanded
from segpipe.documents import write_json, write_text
from segpipe.errors import DataError
from segpipe.fingerprint import digest_file, digest_json, fingerprint
from segpipe.losses import Loss, LossParams, build_loss, keep_some
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
from segpipe.sampling import TrainingCase, draw_batch, read_case
from segpipe.segmenter import (
    Inference,
    Network,
    NetworkName,
    NetworkSpec,
    Segmenter,
    SegmenterSpec,
    apply_network,
    build_network,
    margin_of,
)
from segpipe.tracking import live_run
from segpipe.validation import DICE, validate, validation_names

log = logging.getLogger(__name__)


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
        patch_size: Input voxels along i, j, k, or ``auto``: the plan's.
        batch_size: Patches a step, or ``auto``: the plan's.
        foreground_fraction: Share of patches centred on a structure.
        augmentation: Random transforms of patches.
        optimizer: How weights change.
        epochs: An epoch is steps_per_epoch steps, then perhaps a validation.
        steps_per_epoch: Batches an epoch.
        validation_interval: Epochs between validations on whole held-out cases.
        validation_overlap_fraction: Of the tiles in these.
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
    patch_size: Literal["auto"] | tuple[int, int, int]
    batch_size: Literal["auto"] | int
    foreground_fraction: float
    augmentation: AugmentationParams
    optimizer: OptimizerParams
    epochs: int
    steps_per_epoch: int
    validation_interval: int
    validation_overlap_fraction: float
    seed: int

    @property
    def dimensions(self) -> int:
        """2 or 3: what the network convolves over."""
        return 2 if self.network == "unet2d" else 3


@dataclass(frozen=True, eq=False)
class _Task:
    """What does not change during a training."""

    params: TrainParams
    plan: Plan
    patch: PatchPlan
    spec: SegmenterSpec
    compute: Compute
    loss: Loss
    training: list[TrainingCase]
    validation: list[TrainingCase]
    class_weights: np.ndarray
    seed: int
    checkpoints: Path


@dataclass(eq=False)
class _Progress:
    """What changes: all that a checkpoint holds."""

    network: Network
    optimizer: torch.optim.Optimizer
    epoch: int
    best_dice: float
    best_weights: dict[str, torch.Tensor]
    history: list[dict[str, float]]


def run(
    params: TrainParams, *, model: str, fold: int, compute: Compute, paths: Paths
) -> None:
    """Train a network and write artifacts/train/MODEL/FOLD.

    An interrupted training of the same data, params and code goes on where its last
    finished epoch left it, and ends with the same bytes as an uninterrupted one.

    Raises:
        DataError: If a fold is missing, or the loss stops being a number.
    """
    record = _made_from(params, model=model, fold=fold, compute=compute, paths=paths)
    key = record["fingerprint"]
    task = _build_task(params, model, fold, compute, paths, key)
    log.info("train %s, fold %d, on %s", model, fold, compute)
    progress = _start_or_resume(task)
    with live_run(paths, record=record, tags={"device": str(compute)}) as live:
        live.log(progress.history)
        while progress.epoch < params.epochs:
            live.log([_train_epoch(task, progress, name=f"{model}-{fold}")])
    _write(task, progress, record, paths.artifacts / "train" / model / str(fold))
    drop_checkpoint(task.checkpoints)


def _made_from(
    params: TrainParams, *, model: str, fold: int, compute: Compute, paths: Paths
) -> dict[str, Any]:
    """fingerprint.json: what the training is made from, and a key that says so."""
    artifacts = paths.artifacts
    files = {
        "preprocess": artifacts / "preprocess" / "index.json",
        "weigh": artifacts / "weigh" / "index.json",
        "annotate": artifacts / "annotate" / "index.json",
        "plan": artifacts / "plan" / "plan.json",
        "patch": artifacts / "plan" / "patches" / f"{model}.json",
        "split": artifacts / "split" / "split.json",
    }
    document = {
        "model": model,
        "params": params.model_dump(mode="json"),
        "compute": compute.to_json(),
        "inputs": {name: digest_file(path) for name, path in files.items()},
        "versions": {"numpy": np.__version__, "torch": torch.__version__},
    }
    return {
        "format_version": 1,
        "fingerprint": fingerprint(__name__, fold=fold, **document),
        "parent": digest_json(document),
        "fold": fold,
        **document,
    }


def _build_task(
    params: TrainParams,
    model: str,
    fold: int,
    compute: Compute,
    paths: Paths,
    key: str,
) -> _Task:
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
    )
    training = read(folds[fold].training)
    without = sum(not case.places for case in training)
    if without:
        log.warning(
            "%d of %d training cases hold no labelled structure: their patches are "
            "drawn anywhere",
            without,
            len(training),
        )
    return _Task(
        params=params,
        plan=plan,
        patch=patch,
        spec=spec,
        compute=compute,
        loss=build_loss(params.loss),
        training=training,
        validation=read(folds[fold].validation),
        class_weights=_class_weights(params, plan, folds[fold].training, paths),
        seed=int(digest_json([params.seed, model, fold])[:8], 16),
        checkpoints=paths.checkpoints / "train" / key[:20],
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


def _start_or_resume(task: _Task) -> _Progress:
    torch.manual_seed(task.seed)
    network = build_network(task.spec.network).to(task.compute.device)
    layout = (
        torch.channels_last
        if task.patch.slice_axis is not None
        else (torch.channels_last_3d)
    )
    network.to(memory_format=layout)  # type: ignore[call-overload]
    optimizer = build_optimizer(task.params.optimizer, network.parameters())
    progress = _Progress(network, optimizer, 0, -1.0, {}, [])
    state = load_checkpoint(task.checkpoints)
    if state is not None:
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        progress.epoch = state["epoch"]
        progress.best_dice = state["best_dice"]
        progress.best_weights = state["best_weights"]
        progress.history = state["history"]
        log.info("going on after epoch %d", progress.epoch)
    return progress


def _train_epoch(task: _Task, progress: _Progress, *, name: str) -> dict[str, float]:
    """One epoch, its validation if it is due, and its checkpoint."""
    params, began = task.params, time.perf_counter()
    first = progress.epoch * params.steps_per_epoch
    losses = [
        _train_step(task, progress, step)
        for step in tqdm(
            range(first, first + params.steps_per_epoch),
            desc=f"{name} epoch {progress.epoch + 1}/{params.epochs}",
            unit="step",
            disable=None,
            leave=False,
        )
    ]
    progress.epoch += 1
    row = {
        "epoch": float(progress.epoch),
        "step": float(first + params.steps_per_epoch),
        "training_loss": float(np.mean(losses)),
        "learning_rate": _rate(params, first + params.steps_per_epoch - 1),
        **dict.fromkeys(validation_names(task.plan), float("nan")),
    }
    due = progress.epoch % params.validation_interval == 0
    if due or progress.epoch == params.epochs:
        row |= _validate(task, progress.network)
        if row[DICE] > progress.best_dice or not progress.best_weights:
            progress.best_dice = row[DICE]
            progress.best_weights = {
                name: value.detach().cpu().clone()
                for name, value in progress.network.state_dict().items()
            }
    progress.history.append(row)
    score, seconds = row[DICE], time.perf_counter() - began
    log.info(
        "%s epoch %d/%d: loss %.4f%s, %.2f steps/s, %s left",
        name,
        progress.epoch,
        params.epochs,
        row["training_loss"],
        "" if math.isnan(score) else f", validation Dice {score:.4f}",
        params.steps_per_epoch / seconds,
        timedelta(seconds=round(seconds * (params.epochs - progress.epoch))),
    )
    _save(task, progress)
    return row


def _rate(params: TrainParams, step: int) -> float:
    steps = params.epochs * params.steps_per_epoch
    return learning_rate(params.optimizer, step=step, steps=steps)


def _train_step(task: _Task, progress: _Progress, step: int) -> float:
    """Draw, augment, forward, backward, update; chance depends on the step alone."""
    params, compute = task.params, task.compute
    torch.manual_seed(task.seed + step)
    generator = torch.Generator().manual_seed(task.seed + step)
    batch = draw_batch(
        task.training,
        batch_size=task.patch.batch_size,
        patch_size=task.patch.patch_size,
        margin=margin_of(progress.network, task.patch.slice_axis),
        class_weights=task.class_weights,
        foreground_fraction=params.foreground_fraction,
        rng=np.random.default_rng([task.seed, step]),
    )
    image, reference, weight = augment(
        torch.from_numpy(batch.image).to(compute.device),
        torch.from_numpy(batch.reference).to(compute.device),
        torch.from_numpy(batch.weight).to(compute.device),
        params=params.augmentation,
        spacing=task.plan.spacing,
        slice_axis=task.patch.slice_axis,
        generator=generator,
    )
    weight = keep_some(weight, params.loss.kept_fraction, generator)
    for group in progress.optimizer.param_groups:
        group["lr"] = _rate(params, step)
    progress.network.train()
    progress.optimizer.zero_grad(set_to_none=True)
    with memory_demanded("lower batch_size, patch_size or base_channels"):
        with compute.autocast():
            logits = apply_network(progress.network, image, task.patch.slice_axis)
        loss = task.loss(logits, reference, weight)
        loss.backward()  # type: ignore[no-untyped-call]
    if params.optimizer.clip_norm:
        torch.nn.utils.clip_grad_norm_(
            progress.network.parameters(), params.optimizer.clip_norm
        )
    value = float(loss.detach())
    if not math.isfinite(value):
        raise DataError(
            f"step {step}: expected a finite loss, found {value} on patches of "
            f"{', '.join(batch.cases)}; lower optimizer.learning_rate, or set "
            "compute.precision to fp32"
        )
    progress.optimizer.step()
    return value


def _validate(task: _Task, network: Network) -> dict[str, float]:
    inference = Inference(
        overlap_fraction=task.params.validation_overlap_fraction,
        blending="gaussian",
        tile_batch=max(1, task.patch.batch_size),
        compute=task.compute,
    )
    figures = validate(Segmenter(task.spec, (network,)), task.validation, inference)
    network.train()
    return figures


def _save(task: _Task, progress: _Progress) -> None:
    save_checkpoint(
        task.checkpoints,
        {
            "network": progress.network.state_dict(),
            "optimizer": progress.optimizer.state_dict(),
            "epoch": progress.epoch,
            "best_dice": progress.best_dice,
            "best_weights": progress.best_weights,
            "history": progress.history,
        },
        step=progress.epoch * task.params.steps_per_epoch,
    )


def _write(
    task: _Task, progress: _Progress, record: dict[str, Any], folder: Path
) -> None:
    """Write the best network, the history and what they are made from."""
    network = build_network(task.spec.network)
    network.load_state_dict(progress.best_weights)
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    Segmenter(task.spec, (network,)).save(part / "segmenter")
    text = io.StringIO()
    writer = csv.DictWriter(text, list(progress.history[0]), lineterminator="\n")
    writer.writeheader()
    for row in progress.history:
        writer.writerow(
            {k: "" if math.isnan(v) else f"{v:.9g}" for k, v in row.items()}
        )
    write_text(part / "history.csv", text.getvalue())
    write_json(part / "fingerprint.json", record)
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)
