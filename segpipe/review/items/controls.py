"""Controls: masks that are bad on purpose, so that a reader who looks refuses them.

A control is an item of its own that looks like any other: it has the same letters, and
only the mask under the candidate's letter is bad. It is made of the candidate's own
mask, which is not shown besides: beside what it was made of, equal volumes would give
it away. That it is bad is certain by the reference.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from jaxtyping import Integer

from segpipe.images.values import Legend
from segpipe.review.dossier import Fault

LARGEST_DICE = 0.5  # with the reference; nobody accepts such an overlap
KINDS: tuple[Fault, ...] = ("mirrored", "shifted", "emptied")
SHARES = (0.1, 0.15, 0.2, 0.3, 0.4, 0.5)  # of an axis, by which a mask is shifted


@dataclass(frozen=True, eq=False)
class Control:
    """A mask that is bad on purpose.

    Attributes:
        labels: The label map.
        fault: What was done to it.
        refused: Structures that are certain to be wrong; all that the reference has.
    """

    labels: Integer[np.ndarray, "i j k"]
    fault: Fault
    refused: tuple[str, ...]


def make_control(
    labels: Integer[np.ndarray, "i j k"],
    reference: Integer[np.ndarray, "i j k"],
    legend: Legend,
    wanted: Fault,
) -> Control | None:
    """Spoil a mask in the wanted way, or in the next that is certain to be seen.

    Each structure of the reference is in the result, with a Dice of at most 0.5, unless
    the mask is emptied. A structure in the middle of the image that is its own mirror
    image, one that fills the image, and one that the mask lacks, allow neither mirrored
    nor shifted; emptied is always possible.

    Args:
        labels: A mask on the canonical grid, where i runs from left to right.
        reference: What is right, on the same grid.
        legend: What their values stand for.
        wanted: What to do to the mask.

    Returns:
        The control; None if the reference has no structure, since then nothing can be
        wrong with less.
    """
    present = [
        number
        for number in range(1, len(legend.structures))
        if legend.mask(reference, number).any()
    ]
    if not present:
        return None
    start = KINDS.index(wanted)
    for fault in (*KINDS[start:], *KINDS[:start]):
        for spoilt in _spoilt(labels, fault):
            if _is_bad(spoilt, reference, legend, present, emptied=fault == "emptied"):
                names = tuple(legend.structures[number] for number in present)
                return Control(np.ascontiguousarray(spoilt), fault, names)
    raise AssertionError("an emptied mask differs from a reference that is not empty")


def _spoilt(labels: np.ndarray, fault: Fault) -> Iterator[np.ndarray]:
    """What a fault makes of a mask, the smaller changes first."""
    if fault == "mirrored":
        yield labels[::-1]
    elif fault == "emptied":
        yield np.zeros_like(labels)
    else:
        axes = [axis for axis, size in enumerate(labels.shape) if size > 1]
        for share, axis, way in product(SHARES, axes, (1, -1)):
            steps = way * max(1, round(share * labels.shape[axis]))
            yield shifted(labels, steps, axis)


def shifted(
    labels: Integer[np.ndarray, "i j k"], steps: int, axis: int
) -> Integer[np.ndarray, "i j k"]:
    """A mask that is moved along an axis; what leaves the image is lost."""
    result = np.zeros_like(labels)
    size = labels.shape[axis]
    ahead = [slice(None)] * 3
    behind = [slice(None)] * 3
    ahead[axis] = slice(max(steps, 0), size + min(steps, 0))
    behind[axis] = slice(max(-steps, 0), size + min(-steps, 0))
    result[tuple(ahead)] = labels[tuple(behind)]
    return result


def _is_bad(
    spoilt: np.ndarray,
    reference: np.ndarray,
    legend: Legend,
    present: Sequence[int],
    *,
    emptied: bool,
) -> bool:
    """Whether every structure is there, and in the wrong place."""
    for number in present:
        found, right = legend.mask(spoilt, number), legend.mask(reference, number)
        sizes = int(found.sum()) + int(right.sum())
        if 2 * int((found & right).sum()) > LARGEST_DICE * sizes:
            return False
        if not emptied and not found.any():
            return False
    return True
