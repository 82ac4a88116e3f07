"""Checkpoints: where an interrupted training goes on; atomic, outside DVC's outs.

A checkpoint lies in a folder named by the fingerprint of the training, so that one made
with other data, params or code is never taken up. The last two are kept, each named by
its step and by the digest of its content: a damaged one is known as such.
"""

import logging
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from segpipe.networks.catalogue import Network
from segpipe.project.errors import DataError
from segpipe.project.fingerprint import digest_file

log = logging.getLogger(__name__)
KEPT = 2
SPARE_BYTES = 50_000_000  # of the disk, beyond the checkpoint itself


def save_checkpoint(folder: Path, state: dict[str, Any], *, step: int) -> None:
    """Write a state of tensors, numbers and strings, complete or not at all.

    Args:
        folder: Of the training.
        state: To write.
        step: Later ones are taken up first.

    Raises:
        DataError: If the disk has no room for it; what is there stays.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _demand_room(folder, _size(state))
    part = folder / "part"
    torch.save(state, part)
    name = f"{step:012d}-{digest_file(part)[:32]}.pt"
    os.replace(part, folder / name)
    for old in _newest_first(folder)[KEPT:]:
        old.unlink()


def load_checkpoint(folder: Path) -> dict[str, Any] | None:
    """The last whole state, if there is one; nothing but plain values is unpickled.

    One whose content is not what its name says is skipped for the one before it, and
    said.
    """
    for path in _newest_first(folder):
        if path.stem.split("-")[1] != digest_file(path)[:32]:
            log.warning("%s is damaged: going back to the one before it", path)
            continue
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        return state
    return None


def drop_checkpoint(folder: Path) -> None:
    """Forget the training: it is finished."""
    shutil.rmtree(folder, ignore_errors=True)


def _newest_first(folder: Path) -> list[Path]:
    return sorted(folder.glob("*-*.pt"), reverse=True)


def _size(value: Any) -> int:
    """Bytes of all tensors in a state."""
    if isinstance(value, torch.Tensor):
        return value.numel() * value.element_size()
    if isinstance(value, dict):
        return sum(_size(part) for part in value.values())
    if isinstance(value, list):
        return sum(_size(part) for part in value)
    return 0


def _demand_room(folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < size + SPARE_BYTES:
        raise DataError(
            f"{folder}: expected room for a checkpoint of {size / 1e6:.0f} MB, found "
            f"{free / 1e6:.0f} MB free; free some (`segpipe prune`, `dvc gc`) or set "
            "SEGPIPE_CHECKPOINTS to a folder elsewhere, and run again"
        )


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
