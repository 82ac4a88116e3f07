"""train: train one network of one fold; the training loop."""

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import numpy as np
import torch

from segpipe.dataset.prepared import index_file
from segpipe.dataset.split import split_file
from segpipe.networks.build import margin_of
from segpipe.networks.catalogue import Network
from segpipe.project.documents import expect_file, write_folder
from segpipe.project.fingerprint import digest_file, digest_json, fingerprint
from segpipe.project.paths import Paths
from segpipe.project.progress import track
from segpipe.segmenter.compute import Compute
from segpipe.segmenter.plan import patch_plan_file, plan_file
from segpipe.segmenter.segmenter import Segmenter
from segpipe.training.checkpoints import Progress, drop_checkpoint, hold_checkpoints
from segpipe.training.distributed import World
from segpipe.training.patches.ahead import ahead
from segpipe.training.patches.cases import TrainingCase
from segpipe.training.record import (
    TrainingRecord,
    name_figure,
    record_file,
    segmenter_folder,
    training_folder,
    write_history,
)
from segpipe.training.step import augment_patches, draw_patches, rate_of, train_step
from segpipe.training.task.build import Task, build_task
from segpipe.training.task.coarse import coarse_task
from segpipe.training.task.section import TrainParams
from segpipe.training.task.start import start_or_resume
from segpipe.training.validation.finishing import Coarse, finish
from segpipe.training.validation.validate import (
    FIGURE,
    can_judge,
    find_doubts,
    usual_inference,
    validate,
    validation_names,
)

log = logging.getLogger(__name__)
NOTHING_FOUND = (
    "no epoch found any structure in the validation cases (Dice 0); train longer, or "
    "look at the label maps and the loss"
)


@dataclass(frozen=True)
class Observer:
    """Functions that a training calls to report its progress.

    Attributes:
        log: Called with the rows of the history whose epochs have ended.
        alive: Called after each step and each validation case.
    """

    log: Callable[[list[dict[str, float]]], None]
    alive: Callable[[], None]


@contextmanager
def unobserved(record: TrainingRecord, compute: Compute) -> Iterator[Observer]:
    """Observe nothing."""
    yield Observer(log=lambda rows: None, alive=lambda: None)


Observe = Callable[[TrainingRecord, Compute], AbstractContextManager[Observer]]


def run(
    params: TrainParams,
    *,
    model: str,
    fold: int,
    compute: Compute,
    paths: Paths,
    observe: Observe = unobserved,
) -> None:
    """Train a network and write artifacts/train/MODEL/FOLD.

    An interrupted training of the same data, params and code resumes after its last
    finished epoch, and ends with the same bytes as an uninterrupted one.

    Args:
        params: The section train.MODEL.
        model: A name of the list models.
        fold: A number of the list folds.
        compute: Device, precision and threads.
        paths: The project's folders.
        observe: Opens the observer of a training, given its record.

    Raises:
        DataError: If an earlier stage has not run, the split has no such fold, or the
            loss is not finite.
    """
    compute = compute.of_training()
    world = World.join(compute.device)
    record = _build_record(
        params, model=model, fold=fold, compute=compute, world=world, paths=paths
    )
    task = build_task(params, model, fold, compute, paths, record.fingerprint, world)
    with hold_checkpoints(task.checkpoints):
        if world.first:
            _lead(task, record, paths, fold, observe)
        else:
            _learn_all(task, "", Observer(log=lambda rows: None, alive=lambda: None))
    world.leave()


def _lead(
    task: Task, record: TrainingRecord, paths: Paths, fold: int, observe: Observe
) -> None:
    """Train as the first process, which also validates, logs and writes."""
    model, size = task.spec.model, task.world.size
    name, also = f"{model}-{fold}", f", {size} processes" if size > 1 else ""
    log.info("train %s, fold %d, on %s%s", model, fold, task.compute, also)
    warnings = find_doubts(task)
    for warning in warnings:
        log.warning("train %s, fold %d: %s", model, fold, warning)
    with observe(record, task.compute) as observer:
        first, progress = _learn_all(task, name, observer)
    judged = FIGURE[task.params.judged_by]
    if can_judge(task) and not any(row[judged] > 0 for row in progress.history):
        warnings = (*warnings, NOTHING_FOUND)
        log.warning("train %s, fold %d: %s", model, fold, NOTHING_FOUND)
    made, more = finish(task, progress, first)
    for warning in more:
        log.warning("train %s, fold %d: %s", model, fold, warning)
    changes = {"kept_epoch": progress.best_epoch, "warnings": (*warnings, *more)}
    record = record.model_copy(update=changes)
    with write_folder(training_folder(paths.artifacts, model, fold)) as folder:
        made.save(segmenter_folder(folder))
        write_history(folder, progress.history)
        if first is not None:
            write_history(folder, first.history, coarse=True)
        record.write(record_file(folder))
    drop_checkpoint(task.checkpoints)


def _learn_all(
    task: Task, name: str, observer: Observer
) -> tuple[Coarse | None, Progress]:
    """Train the coarse network, if there is one, and the network."""
    return _learn_coarse(task, name, observer), _learn(task, name, observer)


def _learn_coarse(task: Task, name: str, observer: Observer) -> Coarse | None:
    """Train the coarse network, if there is one; its optimizer is not kept."""
    if task.patch.coarse is None:
        return None
    silent = Observer(log=lambda rows: None, alive=observer.alive)
    coarse = coarse_task(task, task.patch.coarse, observer.alive)
    over = _learn(coarse, f"{name}, coarse", silent)
    return Coarse(coarse.spec, over.best_weights, over.history, coarse.validation)


def _learn(task: Task, name: str, observer: Observer) -> Progress:
    """Train a network, or resume it; only the first process validates and logs."""
    progress = start_or_resume(task)
    observer.log(progress.history)
    over = _is_over(task, progress)
    while not over:
        if task.world.first:
            row = _train_epoch(task, progress, name=name, alive=observer.alive)
            observer.log([row])
        else:
            _take_steps(task, progress, bar="", alive=observer.alive)
        over = task.world.agree(_is_over(task, progress), task.compute.device)
    if task.world.first:
        _tell_end(task, progress, name)
    return progress


def _is_over(task: Task, progress: Progress) -> bool:
    """Whether the last epoch is trained, or the patience is at its end.

    The patience of a fold whose validation cases have no structure has no end.
    """
    if progress.epoch >= task.params.epochs:
        return True
    patience = task.params.patience
    return patience != "never" and progress.waited >= patience and can_judge(task)


def _tell_end(task: Task, progress: Progress, name: str) -> None:
    """Log why the training ended, and which epoch is kept."""
    words = name_figure(FIGURE[task.params.judged_by])
    if progress.epoch < task.params.epochs:
        log.info(
            "%s ends after epoch %d of %d: %d validations without a higher smoothed %s",
            name,
            progress.epoch,
            task.params.epochs,
            progress.waited,
            words,
        )
    judged = f", smoothed validation {words} {progress.best_dice:.4f}"
    log.info(
        "%s: the network of epoch %d is kept%s",
        name,
        progress.best_epoch,
        judged if can_judge(task) else "",
    )


def _build_record(
    params: TrainParams,
    *,
    model: str,
    fold: int,
    compute: Compute,
    world: World,
    paths: Paths,
) -> TrainingRecord:
    """Build the record of the training before it begins."""
    artifacts = paths.artifacts
    files = {
        "preprocess": index_file(artifacts / "preprocess"),
        "weigh": index_file(artifacts / "weigh"),
        "annotate": index_file(artifacts / "annotate"),
        "plan": plan_file(artifacts),
        "patch": patch_plan_file(artifacts, model),
        "split": split_file(artifacts),
    }
    document: dict[str, Any] = {
        "model": model,
        "params": params.model_dump(mode="json"),
        "compute": {**compute.to_json(), "processes": world.size},
        "inputs": {
            name: digest_file(expect_file(path)) for name, path in files.items()
        },
        "versions": {"numpy": np.__version__, "torch": torch.__version__},
    }
    return TrainingRecord(
        format_version=1,
        fingerprint=fingerprint(
            __name__, networks=[params.network], fold=fold, **document
        ),
        parent=digest_json(document),
        fold=fold,
        **document,
    )


def _train_epoch(
    task: Task, progress: Progress, *, name: str, alive: Callable[[], None]
) -> dict[str, float]:
    """Train one epoch, validate if it is due, and save a checkpoint."""
    params, began = task.params, time.perf_counter()
    bar = f"{name} epoch {progress.epoch + 1}/{params.epochs}"
    loss = _take_steps(task, progress, bar=bar, alive=alive)
    steps = progress.epoch * params.steps_per_epoch
    row = {
        "epoch": float(progress.epoch),
        "step": float(steps),
        "training_loss": loss,
        "learning_rate": rate_of(params, steps - 1),
        **dict.fromkeys(validation_names(task.plan, params.judged_by), float("nan")),
    }
    due = progress.epoch % params.validation_interval == 0
    if due or progress.epoch == params.epochs:
        row |= _validate(task, progress.judged, alive)
        progress.judge(row[FIGURE[params.judged_by]])
    progress.history.append(row)
    score, seconds = row[FIGURE[params.judged_by]], time.perf_counter() - began
    log.info(
        "%s epoch %d/%d: loss %.4f%s, %.2f steps/s, %s%s left",
        name,
        progress.epoch,
        params.epochs,
        row["training_loss"],
        ""
        if math.isnan(score)
        else f", validation {name_figure(FIGURE[params.judged_by])} {score:.4f}",
        params.steps_per_epoch / seconds,
        "" if params.patience == "never" else "at most ",
        timedelta(seconds=round(seconds * (params.epochs - progress.epoch))),
    )
    progress.save(task.checkpoints, step=steps)
    return row


def _take_steps(
    task: Task, progress: Progress, *, bar: str, alive: Callable[[], None]
) -> float:
    """Take all steps of an epoch; returns the mean loss.

    Args:
        task: The training.
        progress: Its state; changed in place.
        bar: Text of the progress bar; empty for no bar.
        alive: Called after each step.
    """
    first = progress.epoch * task.params.steps_per_epoch
    steps = range(first, first + task.params.steps_per_epoch)
    margin = margin_of(progress.network, task.patch.slice_axis)
    drawn = ahead(
        partial(draw_patches, task, margin), steps, workers=task.compute.workers
    )
    losses = []
    told = track(steps, bar, total=len(steps), unit="step") if bar else steps
    for step in told:
        losses.append(
            train_step(task, progress, step, augment_patches(task, next(drawn)))
        )
        alive()
    progress.epoch += 1
    return float(np.mean(losses))


def _validate(
    task: Task, network: Network, alive: Callable[[], None]
) -> dict[str, float]:
    segmenter = Segmenter(task.spec, (network,))
    cases = _announced(task.validation, alive)
    figures = validate(segmenter, cases, usual_inference(task), task.params.judged_by)
    network.train()
    return figures


def _announced(
    cases: list[TrainingCase], alive: Callable[[], None]
) -> Iterator[TrainingCase]:
    """Yield the cases and call ``alive`` after each."""
    for case in cases:
        yield case
        alive()
