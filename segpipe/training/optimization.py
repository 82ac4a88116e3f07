"""Optimizers and learning-rate schedules."""

import inspect
import math
from collections.abc import Iterable
from typing import Literal, TypeVar

import torch
from pydantic import Field
from torch import nn
from torch.nn import Parameter

from segpipe.project.params import Params, is_off

Kind = TypeVar("Kind", bound=torch.optim.Optimizer)

# Length of a training for each budget: docs/decisions/0024-residual-encoder.md.
BUDGETS = {
    "minutes": {"epochs": 25, "steps_per_epoch": 50},
    "hour": {"epochs": 100, "steps_per_epoch": 80},
    "day": {"epochs": 500, "steps_per_epoch": 400},
}


class OptimizerParams(Params):
    """Section ``optimizer``: how the weights are updated.

    Attributes:
        name: ``sgd`` with (Nesterov) momentum, as in the papers, or ``adamw``.
        learning_rate: Learning rate of the first step.
        momentum: Momentum of sgd; beta 1 of adamw.
        nesterov: Use Nesterov momentum; for sgd only.
        weight_decay: L2 penalty (sgd) or decoupled decay (adamw).
        schedule: ``constant``; ``poly``, (1 - t)^0.9; ``cosine``; or ``drop``, a tenth
            after each interval, as in the V-Net paper.
        drop_interval: Steps between drops of the learning rate.
        clip_norm: Largest norm of the gradient; 0 turns clipping off.
        ema: Share of the past in the moving average of the weights, which is validated
            and kept in place of the weights themselves; 0 for no average.
    """

    name: Literal["sgd", "adamw"]
    learning_rate: float
    momentum: float
    nesterov: bool
    weight_decay: float
    schedule: Literal["constant", "poly", "cosine", "drop"]
    drop_interval: int = Field(gt=0)
    clip_norm: float
    # Never in the params of projects that were written before it.
    ema: float = Field(0.0, ge=0, lt=1, exclude_if=is_off)


def build_optimizer(
    params: OptimizerParams, weights: Iterable[Parameter]
) -> torch.optim.Optimizer:
    """Build the optimizer of a section ``optimizer``."""
    if params.name == "sgd":
        return _light(torch.optim.SGD)(
            weights,
            lr=params.learning_rate,
            momentum=params.momentum,
            nesterov=params.nesterov,
            weight_decay=params.weight_decay,
        )
    return _light(torch.optim.AdamW)(
        weights,
        lr=params.learning_rate,
        betas=(params.momentum, 0.999),
        weight_decay=params.weight_decay,
    )


def _light(kind: type[Kind]) -> type[Kind]:
    """The same optimizer without the guards of torch's compiler.

    A guard does nothing in a step that is not compiled, and ours never is. But its
    first call imports the compiler, which takes a second of each training.
    """
    guarded = ("add_param_group", "load_state_dict", "state_dict", "zero_grad")
    plain = {name: inspect.unwrap(getattr(kind, name)) for name in guarded}
    step = torch.no_grad()(inspect.unwrap(kind.step))
    return type(kind.__name__, (kind,), {**plain, "step": step})


def learning_rate(params: OptimizerParams, *, step: int, steps: int) -> float:
    """Learning rate of a step.

    Args:
        params: The section ``optimizer``.
        step: Number of the step, from 0.
        steps: Number of steps of the whole training.
    """
    progress = step / steps
    if params.schedule == "poly":
        return params.learning_rate * float((1 - progress) ** 0.9)
    if params.schedule == "cosine":
        return params.learning_rate * (1 + math.cos(math.pi * progress)) / 2
    if params.schedule == "drop":
        return params.learning_rate / 10.0 ** (step // params.drop_interval)
    return params.learning_rate


def average_weights(
    average: nn.Module, network: nn.Module, *, share: float, step: int
) -> None:
    """Move the average of the weights towards those after a step.

    Early on, the past counts for less than its share, (1 + t) / (10 + t): the random
    weights at the beginning are soon forgotten. What a batch normalization has counted
    is a moving average already, and copied.

    Args:
        average: Holds the averages; changed in place.
        network: The network after the step.
        share: Share of the past.
        step: Number of the step, from 0.

    Source:
        Polyak 1992, doi:10.1137/0330046; Tarvainen 2017, arXiv:1703.01780, for the
        moving average; TensorFlow's ``ExponentialMovingAverage`` for the beginning.
    """
    past = min(share, (1 + step) / (10 + step))
    pairs = zip(average.parameters(), network.parameters(), strict=True)
    with torch.no_grad():
        for old, new in pairs:
            old.lerp_(new, 1 - past)
        counted = zip(average.buffers(), network.buffers(), strict=True)
        for before, now in counted:
            before.copy_(now)
