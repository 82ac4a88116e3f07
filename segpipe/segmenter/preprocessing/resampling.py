"""Resampling: linear, one axis at a time, a run of places or the whole axis."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from segpipe.images.grid import Triple

BLOCK = 1 << 19  # voxels that are resampled at once


def resample_image(
    array: Float32[np.ndarray, "channel i j k"], shape: Triple
) -> Float32[np.ndarray, "channel i2 j2 k2"]:
    """Resample linearly to another shape over the same box, one axis at a time.

    Along an axis that shrinks, each output voxel is the mean over its extent, so that
    detail finer than the new grid does not alias; along one that grows, it is linear
    between neighbouring voxel centres. Axes are treated separately, so in-plane detail
    does not mix across thick slices.

    Returns:
        A new array in C order, channel by channel within one copy of the volume.
    """
    result = np.empty((len(array), *shape), dtype=np.float32)
    for channel, goal in zip(array, result, strict=True):
        step = channel
        # Shrink before growing, for the fewest voxels in between.
        order = sorted(range(3), key=lambda axis: shape[axis] / channel.shape[axis])
        changing = [axis for axis in order if shape[axis] != channel.shape[axis]]
        for axis in changing[:-1]:
            sizes = [shape[n] if n == axis else step.shape[n] for n in range(3)]
            step = _resample_axis(step, axis, np.empty(sizes, dtype=np.float32))
        if changing:
            _resample_axis(step, changing[-1], goal)
        else:
            goal[...] = step
    return result


def _resample_axis(array: np.ndarray, axis: int, goal: np.ndarray) -> np.ndarray:
    """Resample along one axis into the goal."""
    run = AxisRun(array.shape[axis], goal.shape[axis], 0, goal.shape[axis])
    return resample_run(array, axis, goal, run)


@dataclass(frozen=True)
class AxisRun:
    """A run of resampled places along an axis.

    Attributes:
        length: Length of the whole axis.
        size: Length of the whole axis after resampling.
        start: First resampled place of the run.
        stop: Resampled place after the last.
    """

    length: int
    size: int
    start: int
    stop: int

    @property
    def needed(self) -> tuple[int, int]:
        """First place of the axis that the run needs, and the place after the last."""
        if self.size == self.length:
            return self.start, self.stop
        if self.size < self.length:
            scale = self.length / self.size
            last = min(math.ceil(self.stop * scale), self.length)
            return math.floor(self.start * scale), last
        low, high, _ = self.neighbours
        return int(low[0]), int(high[-1]) + 1

    @property
    def neighbours(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The places below and above each output, and the weight of the one above."""
        places = np.arange(self.start, self.stop) + 0.5
        places = np.clip(places * self.length / self.size - 0.5, 0, self.length - 1)
        low = np.floor(places).astype(np.intp)
        share = (places - low).astype(np.float32)
        return low, np.minimum(low + 1, self.length - 1), share


def resample_run(
    array: np.ndarray, axis: int, goal: np.ndarray, run: AxisRun
) -> np.ndarray:
    """Resample a run into the goal, some MB at a time."""
    if run.size < run.length:
        return _shrink_run(array, axis, goal, run)
    low, high, share = run.neighbours
    low, high = low - run.needed[0], high - run.needed[0]
    share = share.reshape([-1 if n == axis else 1 for n in range(array.ndim)])
    other = 1 if axis == 0 else 0
    source, sink = np.moveaxis(array, other, 0), np.moveaxis(goal, other, 0)
    share = np.moveaxis(share, other, 0)
    along = 1 if axis == 0 else axis
    each = max(1, BLOCK * len(sink) // max(1, goal.size))
    for start in range(0, len(sink), each):
        part = source[start : start + each]
        block = np.take(part, high, along)
        below = np.take(part, low, along)
        block -= below
        block *= share
        block += below
        sink[start : start + each] = block
    return goal


def _shrink_run(
    array: np.ndarray, axis: int, goal: np.ndarray, run: AxisRun
) -> np.ndarray:
    """Average over each output voxel's extent; parts of voxels count in part."""
    scale = run.length / run.size
    moved, sink = np.moveaxis(array, axis, 0), np.moveaxis(goal, axis, 0)
    sink[...] = 0
    for place in range(run.start, run.stop):
        start, stop = place * scale, (place + 1) * scale
        first, last = math.floor(start), min(math.ceil(stop), run.length)
        for index in range(first, last):
            share = min(index + 1, stop) - max(index, start)
            if share > 1e-9:
                sink[place - run.start] += moved[index - run.needed[0]] * np.float32(
                    share / scale
                )
    return goal
