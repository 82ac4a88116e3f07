"""Optimizers and learning-rate schedules."""

import math
from collections.abc import Iterable
from typing import Literal

import torch
from pydantic import Field
from torch.nn import Parameter

from segpipe.project.params import Params


class OptimizerParams(Params):
    """How weights change.

    Attributes:
        name: ``sgd`` with (Nesterov) momentum, as in the papers, or ``adamw``.
        learning_rate: At the start.
        momentum: Of sgd; of adamw it is beta 1.
        nesterov: For sgd only.
        weight_decay: L2 penalty (sgd) or decoupled decay (adamw).
        schedule: ``constant``; ``poly``, (1 - t)^0.9; ``cosine``; or ``drop``, a tenth
            after each interval, as V-Net has it.
        drop_interval: Steps, of drop.
        clip_norm: Largest norm of the gradient; 0 leaves it as it is.
    """

    name: Literal["sgd", "adamw"]
    learning_rate: float
    momentum: float
    nesterov: bool
    weight_decay: float
    schedule: Literal["constant", "poly", "cosine", "drop"]
    drop_interval: int = Field(gt=0)
    clip_norm: float


def build_optimizer(
    params: OptimizerParams, weights: Iterable[Parameter]
) -> torch.optim.Optimizer:
    """The optimizer of a section ``optimizer``."""
    if params.name == "sgd":
        return torch.optim.SGD(
            weights,
            lr=params.learning_rate,
            momentum=params.momentum,
            nesterov=params.nesterov,
            weight_decay=params.weight_decay,
        )
    return torch.optim.AdamW(
        weights,
        lr=params.learning_rate,
        betas=(params.momentum, 0.999),
        weight_decay=params.weight_decay,
    )


def learning_rate(params: OptimizerParams, *, step: int, steps: int) -> float:
    """The learning rate of a step, counted from 0, of a training of so many steps."""
    progress = step / steps
    if params.schedule == "poly":
        return params.learning_rate * float((1 - progress) ** 0.9)
    if params.schedule == "cosine":
        return params.learning_rate * (1 + math.cos(math.pi * progress)) / 2
    if params.schedule == "drop":
        return params.learning_rate / 10.0 ** (step // params.drop_interval)
    return params.learning_rate
