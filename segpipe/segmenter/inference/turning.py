"""Turning: between the order in which slices come and the canonical axes."""

import numpy as np
from torch import Tensor

from segpipe.images.grid import Orientation, Triple


def stored(frame: Orientation, values: np.ndarray) -> np.ndarray:
    """Turn slices (... n j k) to the axes of their file, with n last."""
    return np.ascontiguousarray(frame.undo(values))


def leading(triple: Triple, axis: int) -> Triple:
    """The entry of one axis first, then the others in order."""
    rest = [value for n, value in enumerate(triple) if n != axis]
    return triple[axis], rest[0], rest[1]


def turn(tiles: Tensor, slices_at: int, *, backwards: bool) -> Tensor:
    """Turn tiles from the order in which slices come to the canonical axes."""
    return (tiles.flip(2) if backwards else tiles).movedim(2, 2 + slices_at)


def turn_back(tiles: Tensor, slices_at: int, *, backwards: bool) -> Tensor:
    """The inverse of turn."""
    moved = tiles.movedim(2 + slices_at, 2)
    return moved.flip(2) if backwards else moved
