"""Progress: all of a training that changes, as its checkpoints hold it."""

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from segpipe.checkpoints import load_checkpoint, save_checkpoint
from segpipe.network import Network

log = logging.getLogger(__name__)


@dataclass(eq=False)
class Progress:
    """A training between two epochs.

    Attributes:
        network: That is trained.
        optimizer: Of its weights.
        epoch: How many are done.
        best_dice: Of the validations so far.
        best_weights: Of the epoch that had it.
        history: A row an epoch.
    """

    network: Network
    optimizer: torch.optim.Optimizer
    epoch: int = 0
    best_dice: float = -1.0
    best_weights: dict[str, torch.Tensor] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)

    def judge(self, dice: float) -> None:
        """Remember the weights if no earlier ones were better."""
        if dice > self.best_dice or not self.best_weights:
            self.best_dice = dice
            self.best_weights = {
                name: value.detach().cpu().clone()
                for name, value in self.network.state_dict().items()
            }

    def save(self, folder: Path, *, step: int) -> None:
        """Write a checkpoint."""
        state = {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "epoch": self.epoch,
            "best_dice": self.best_dice,
            "best_weights": self.best_weights,
            "history": self.history,
        }
        save_checkpoint(folder, state, step=step)

    def resume(self, folder: Path) -> None:
        """Take up the last whole checkpoint, if there is one."""
        state: dict[str, Any] | None = load_checkpoint(folder)
        if state is None:
            return
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.epoch = state["epoch"]
        self.best_dice = state["best_dice"]
        self.best_weights = state["best_weights"]
        self.history = state["history"]
        log.info("going on after epoch %d", self.epoch)
