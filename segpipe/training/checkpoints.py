"""Checkpoints: the progress of a training, saved so that it can be resumed.

The folder of the checkpoints is named after the fingerprint of the training, so that a
checkpoint made with other data, params or code is never loaded. The last two are kept;
each is named after its step and the digest of its content, so that a damaged one is
detected.
"""

import contextlib
import fcntl
import logging
import math
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from segpipe.networks.catalogue import Network
from segpipe.project.errors import DataError
from segpipe.project.fingerprint import digest_file

log = logging.getLogger(__name__)
KEPT = 2
SPARE_BYTES = 50_000_000  # left free on the disk beside a checkpoint
PAST = 0.5  # share of earlier validations in the smoothed Dice


def save_checkpoint(folder: Path, state: dict[str, Any], *, step: int) -> None:
    """Write a checkpoint atomically and delete all but the last two.

    Args:
        folder: Folder of the training's checkpoints.
        state: Tensors, numbers and strings.
        step: Number of steps taken; the checkpoint of the latest is loaded.

    Raises:
        DataError: If the disk has no room for it; earlier checkpoints are kept.
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
    """Read the state of the last undamaged checkpoint; None if there is none.

    A checkpoint whose content does not match the digest in its name is skipped with a
    warning. Only tensors and plain values are unpickled.
    """
    for path in _newest_first(folder):
        if path.stem.split("-")[1] != digest_file(path)[:32]:
            log.warning("%s is damaged; the checkpoint before it is used", path)
            continue
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        return state
    return None


@contextmanager
def hold_checkpoints(folder: Path) -> Iterator[None]:
    """Mark the checkpoints of a training as in use while it runs."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some file systems have no locks
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def are_held(folder: Path) -> bool:
    """Whether a training runs whose checkpoints are in a folder."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # some file systems have no locks
        return False
    finally:
        os.close(descriptor)
    return False


def drop_checkpoint(folder: Path) -> None:
    """Delete the checkpoints of a finished training."""
    shutil.rmtree(folder, ignore_errors=True)


def _newest_first(folder: Path) -> list[Path]:
    return sorted(folder.glob("*-*.pt"), reverse=True)


def _size(value: Any) -> int:
    """Size of all tensors in a state, in bytes."""
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
    """State of a training between two epochs.

    Attributes:
        network: The network that is trained.
        optimizer: Optimizer of its weights.
        epoch: Number of finished epochs.
        smoothed_dice: Smoothed validation Dice; NaN before the first validation.
        best_dice: Best smoothed validation Dice so far.
        best_epoch: The epoch with the best smoothed validation Dice; 0 before the first
            validation.
        best_weights: Weights of this epoch.
        waited: Number of validations since the smoothed Dice last rose, once a
            structure was found.
        history: One row for each finished epoch.
        average: The network with the moving average of the weights, if there is one.
    """

    network: Network
    optimizer: torch.optim.Optimizer
    epoch: int = 0
    smoothed_dice: float = math.nan
    best_dice: float = -1.0
    best_epoch: int = 0
    waited: int = 0
    best_weights: dict[str, torch.Tensor] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)
    average: Network | None = None

    @property
    def judged(self) -> Network:
        """The network that is validated and kept."""
        return self.network if self.average is None else self.average

    def judge(self, dice: float) -> None:
        """Keep the current weights if the smoothed Dice is no worse than any before.

        The smoothed Dice is an exponential moving average: half of it is the new
        figure. Of equal epochs the last is kept, which has learnt longest.

        Args:
            dice: Validation Dice of the current weights; NaN if no validation case has
                a structure and rightly none was found, which counts as 1, as in
                docs/decisions/0012-the-gate.md.

        Source:
            Isensee 2021, doi:10.1038/s41592-020-01008-z: nnU-Net chooses by a moving
            average of the Dice, with 0.9 of the past; docs/decisions/0016 says why
            here it is 0.5.
        """
        new = 1.0 if math.isnan(dice) else dice
        if math.isnan(self.smoothed_dice):
            self.smoothed_dice = new
        else:
            self.smoothed_dice = PAST * self.smoothed_dice + (1 - PAST) * new
        rose = self.smoothed_dice > self.best_dice
        self.waited = 0 if rose or self.best_dice <= 0 else self.waited + 1
        if self.smoothed_dice >= self.best_dice:
            self.best_dice, self.best_epoch = self.smoothed_dice, self.epoch
            self.best_weights = {
                name: value.detach().cpu().clone()
                for name, value in self.judged.state_dict().items()
            }

    def save(self, folder: Path, *, step: int) -> None:
        """Write the state as a checkpoint."""
        state = {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "epoch": self.epoch,
            "smoothed_dice": self.smoothed_dice,
            "best_dice": self.best_dice,
            "best_epoch": self.best_epoch,
            "waited": self.waited,
            "best_weights": self.best_weights,
            "history": self.history,
        }
        if self.average is not None:
            state["average"] = self.average.state_dict()
        save_checkpoint(folder, state, step=step)

    def resume(self, folder: Path) -> None:
        """Restore the state of the last undamaged checkpoint, if there is one."""
        state = load_checkpoint(folder)
        if state is None:
            return
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.epoch = state["epoch"]
        self.smoothed_dice = state["smoothed_dice"]
        self.best_dice = state["best_dice"]
        self.best_epoch = state["best_epoch"]
        self.waited = state["waited"]
        self.best_weights = state["best_weights"]
        self.history = state["history"]
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        log.info("resuming after epoch %d", self.epoch)
