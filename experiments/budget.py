"""Budget: train as many steps as fit some seconds, which a short training measures."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from experiments.trials import Trial, changed
from segpipe.project.paths import Paths
from segpipe.segmenter.compute import Compute, build_compute
from segpipe.stages import train
from segpipe.training.record import TrainingRecord

Clock = Callable[[], float]
Length = tuple[int, int]  # epochs, and steps of each
EPOCHS, VALIDATIONS = 10, 2
TRIED = 6  # steps of an epoch of the short training
ROUNDING = 1e-9
SPARED = 0.03  # of the seconds: what the short training cannot know


def train_within(
    trial: Trial,
    seconds: float,
    paths: Paths,
    *,
    clock: Clock,
    tried: int = TRIED,
    validations: int = VALIDATIONS,
) -> dict[str, Any]:
    """Train as many steps as the seconds allow, in about ten epochs.

    A short training, which does not count, measures what a step, an epoch and a
    validation cost, and all else of a training; it is thrown away.

    Args:
        trial: The trial; its data are prepared.
        seconds: Seconds of the clock for the training, validations included.
        paths: Folders of the scratch project.
        clock: Tells the seconds: of the processor, or of the wall.
        tried: Steps of an epoch of the short training.
        validations: How often the training validates, the last time at its end.

    Returns:
        ``training_s``, ``steps``, ``epochs`` and the costs.
    """
    began = clock()
    cost = measure(trial, paths, clock=clock, tried=tried)
    measured = clock() - began
    length = length_within(seconds * (1 - SPARED), cost, validations)
    learned = train_length(trial, length, paths, clock=clock, validations=validations)
    return {**learned, "measuring_s": measured, **cost}


def train_length(
    trial: Trial, length: Length, paths: Paths, *, clock: Clock, validations: int
) -> dict[str, Any]:
    """Train the epochs and the steps of each; returns what ``train_within`` does."""
    epochs, steps = length
    changes = {
        "epochs": epochs,
        "steps_per_epoch": steps,
        "validation_interval": math.ceil(epochs / validations),
    }
    compute = build_compute(trial.sections.compute)
    began = clock()
    train.run(
        changed(trial.sections, train=changes).train,
        model=trial.name,
        fold=0,
        compute=compute,
        paths=paths,
    )
    spent = clock() - began
    return {"training_s": spent, "steps": epochs * steps, "epochs": epochs}


def length_within(seconds: float, cost: dict[str, float], validations: int) -> Length:
    """Epochs of a training that takes the seconds, and the steps of each; 1 at least.

    As many steps as make ten epochs; then as many epochs of them as there is time for,
    which are fewer than ten only where ten steps are too many.
    """
    left = seconds - cost["rest"] - validations * cost["validation"]
    steps = max(1, int((left / EPOCHS - cost["epoch"]) / cost["step"]))
    epochs = max(1, int(left / (steps * cost["step"] + cost["epoch"]) + ROUNDING))
    return epochs, steps


def measure(
    trial: Trial, paths: Paths, *, clock: Clock, tried: int
) -> dict[str, float]:
    """Seconds of a step, an epoch beside its steps, a validation, and all else."""
    ticks: list[float] = []
    ends: list[tuple[int, float]] = []  # ticks before, and the time

    @contextmanager
    def stamp(record: TrainingRecord, compute: Compute) -> Iterator[train.Observer]:
        """Note the time after each step and epoch."""
        yield train.Observer(
            log=lambda rows: ends.append((len(ticks), clock())),
            alive=lambda: ticks.append(clock()),
        )

    length = {"epochs": 3, "steps_per_epoch": tried, "validation_interval": 3}
    began = clock()
    train.run(
        changed(trial.sections, train=length).train,
        model=trial.name,
        fold=0,
        compute=build_compute(trial.sections.compute),
        paths=paths,
        observe=stamp,
    )
    ended = clock()
    return costs_of(began, ticks, ends, ended, tried=tried)


def costs_of(
    began: float,
    ticks: list[float],
    ends: list[tuple[int, float]],
    ended: float,
    *,
    tried: int,
) -> dict[str, float]:
    """What each part of a short training of three epochs cost.

    The first epoch warms up; the last one validates. The first step of an epoch also
    waits for its patches, which counts for the epoch.

    Args:
        began: When the training began.
        ticks: When each step and each case of the validation ended.
        ends: Number of ticks and the time before the first epoch and after each.
        ended: When the training ended.
        tried: Steps of an epoch.
    """
    (_, start), (first, one), (second, two), (_, three) = ends
    last = ticks[second : second + tried]
    middle = ticks[first:second]
    known = max(1, 2 * (tried - 1))
    step = (middle[-1] - middle[0] + last[-1] - last[0]) / known
    if tried == 1:
        step = two - one
    epoch = max(0.0, two - one - tried * step)
    return {
        "step": step,
        "epoch": epoch,
        "validation": max(0.0, three - two - tried * step - epoch),
        "rest": start - began + ended - three,
    }
