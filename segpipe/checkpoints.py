"""Checkpoints: where an interrupted training goes on; atomic, outside DVC's outs.

A checkpoint lies in a folder named by the fingerprint of the training, so that one made
with other data, params or code is never taken up.
"""

import os
import shutil
from pathlib import Path
from typing import Any

import torch


def save_checkpoint(folder: Path, state: dict[str, Any]) -> None:
    """Write a state of tensors, numbers and strings, complete or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / ".last.pt.part"
    torch.save(state, part)
    os.replace(part, folder / "last.pt")


def load_checkpoint(folder: Path) -> dict[str, Any] | None:
    """The last state that was written, if there is one; nothing else is unpickled."""
    path = folder / "last.pt"
    if not path.is_file():
        return None
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def drop_checkpoint(folder: Path) -> None:
    """Forget the training: it is finished."""
    shutil.rmtree(folder, ignore_errors=True)
