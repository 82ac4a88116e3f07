"""Merging: masks that may overlap, made a map in which each pixel belongs to one."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional as F

LOWEST = 0.5  # score of an instance
COVERED = 0.5  # share of an instance that others may have taken
SMALLEST_STUFF = 64 * 64  # pixels of a class


@dataclass(frozen=True, eq=False)
class Found:
    """An instance that was found.

    Attributes:
        kind: Its class, from 1.
        score: How sure it is, from 0 to 1.
        start: The first pixel of the mask along i and j.
        mask: Its pixels from there on; for a mask of the whole image, start is (0, 0).
    """

    kind: int
    score: float
    start: tuple[int, int]
    mask: Bool[Tensor, "h w"]

    @property
    def box(self) -> tuple[slice, slice]:
        """Where the mask lies in the image."""
        i, j = self.start
        return slice(i, i + self.mask.shape[0]), slice(j, j + self.mask.shape[1])


def merge(
    instances: Sequence[Found],
    stuff: Int64[Tensor, "i j"],
    *,
    smallest_stuff: int = SMALLEST_STUFF,
) -> tuple[Int64[Tensor, "i j"], Int64[Tensor, "i j"]]:
    """The panoptic map of instances and stuff: class and id of each pixel.

    Instances are laid in the order of their scores. One is left out if its score is
    below LOWEST, or if others have taken more than COVERED of it; else it gets what is
    free. Stuff has what is left, but for a class with too few pixels.

    Args:
        instances: The instances that were found; of equal scores the first comes first.
        stuff: Class of each pixel by semantic segmentation; 0 for none.
        smallest_stuff: Pixels below which a class of stuff is left out.

    Returns:
        The class of each pixel, 0 for none; and the number of its instance in the
        sequence, from 1, or 0.

    Source:
        Kirillov 2019, arXiv:1801.00868, section 7; ``combine_semantic_and_instance_``
        ``predictions.py`` of the authors' panopticapi for the numbers.
    """
    classes, ids = torch.zeros_like(stuff), torch.zeros_like(stuff)
    order = sorted(range(len(instances)), key=lambda at: -instances[at].score)
    for at in order:
        own = instances[at]
        area = int(own.mask.sum())
        if own.score < LOWEST or not area:
            continue
        free = own.mask & (ids[own.box] == 0)
        if area - int(free.sum()) > COVERED * area:
            continue
        ids[own.box][free] = at + 1
        classes[own.box][free] = own.kind
    rest = torch.where(ids == 0, stuff, 0)
    for kind in sorted(set(rest.flatten().tolist())):
        here = rest == kind
        if kind and int(here.sum()) >= smallest_stuff:
            classes[here] = kind
    return classes, ids


def lines_within(
    classes: Int64[Tensor, "i j"], ids: Int64[Tensor, "i j"]
) -> Bool[Tensor, "i j"]:
    """The pixels of instances that have another one of their class beside them.

    They are what weigh makes background between touching instances: one pixel from each
    side, corners included.
    """
    lines = torch.zeros_like(ids, dtype=torch.bool)
    for kind in sorted(set(classes.flatten().tolist())):
        own = torch.where(classes == kind, ids, 0).double()[None, None]
        none = torch.where(own > 0, -own, -torch.inf)
        highest = F.max_pool2d(own, 3, stride=1, padding=1)[0, 0]
        lowest = -F.max_pool2d(none, 3, stride=1, padding=1)[0, 0]
        lines |= (own[0, 0] > 0) & (highest != lowest)
    return lines


def lay_scores(
    instances: Sequence[Found],
    evidence: Float[Tensor, "K i j"],
) -> Float[Tensor, "K i j"]:
    """The probability of each class at each pixel, by instances and their lines.

    Where an instance lies, the probability of its class is its score and that of others
    is 0. Lines between instances of a class are background. Elsewhere it is what speaks
    for the class, but below one half: what no instance has is background.

    Args:
        instances: The instances that were found.
        evidence: What speaks for each class, background left out, from 0 to 1.
    """
    nothing = torch.zeros(evidence.shape[1:], dtype=torch.int64).to(evidence.device)
    classes, ids = merge(instances, nothing)
    lines = lines_within(classes, ids)
    scores = evidence.new_tensor([0.0, *(found.score for found in instances)])[ids]
    shares = evidence.clamp(max=0.49)
    kinds = torch.arange(1, len(evidence) + 1, device=ids.device)[:, None, None]
    own = scores.clamp(min=0.51) * (classes == kinds)
    shares = torch.where(ids > 0, own, shares)
    return torch.where(lines, 0.0, shares)
