"""Anchors: where objects are looked for, which ones show one, and which are learned."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float32, Int64
from scipy import ndimage
from torch import Tensor

from segpipe.networks.regions import box_area, box_iou

BACKGROUND = -1  # no object
BETWEEN = -2  # neither an object nor background
THIN = 2  # pixels; a side of a smaller object has no box to learn
CROWDED = 0.5  # share of a box from which on what is unknown there decides


@dataclass(frozen=True, eq=False)
class Objects:
    """The objects of an image, as a reference shows them.

    Attributes:
        boxes: The box of each object.
        classes: The class of each object, from 1.
        ids: The number of the object that each pixel belongs to, from 0; BACKGROUND
            where there is none, BETWEEN where nobody knows.
    """

    boxes: Float32[Tensor, "n 4"]
    classes: Int64[Tensor, " n"]
    ids: Int64[Tensor, "i j"]


def find_objects(
    reference: Int64[Tensor, "i j"], known: Bool[Tensor, "i j"]
) -> Objects:
    """The connected components of each class of a reference.

    Pixels are connected over edges only, so that a line one pixel wide keeps two
    objects apart, also where it is oblique. An object that touches what is not known is
    not known itself, as nobody knows where it ends; nor is one thinner than two pixels.

    Args:
        reference: Class of each pixel, 0 for background.
        known: Whether somebody has looked at the pixel.
    """
    label, sure = reference.cpu().numpy(), known.cpu().numpy()
    ids = torch.where(known, BACKGROUND, BETWEEN).cpu()
    near = ndimage.binary_dilation(~sure)
    boxes, classes = list[tuple[int, ...]](), list[int]()
    for value in sorted(set(label[sure].tolist()) - {0}):
        found, _ = ndimage.label(sure & (label == value))
        for number, (i, j) in enumerate(ndimage.find_objects(found), start=1):
            own = found[i, j] == number
            thin = min(own.shape) < THIN
            if thin or (own & near[i, j]).any():
                ids[i, j][torch.from_numpy(own)] = BETWEEN
                continue
            ids[i, j][torch.from_numpy(own)] = len(boxes)
            boxes.append((i.start, j.start, i.stop, j.stop))
            classes.append(value)
    device = reference.device
    return Objects(
        torch.tensor(boxes, dtype=torch.float32, device=device).view(-1, 4),
        torch.tensor(classes, dtype=torch.int64, device=device),
        ids.to(device),
    )


def lay_anchors(
    size: tuple[int, int], *, stride: int, scale: float, ratios: Sequence[float]
) -> Float32[Tensor, "n 4"]:
    """The anchors of a level, one for each ratio at the centre of each feature.

    Args:
        size: Features of the level along i and j.
        stride: Pixels of the image that a feature covers.
        scale: Square root of an anchor's area.
        ratios: Height over width of the anchors of a feature.

    Returns:
        The anchors; the ratio changes fastest, then j.
    """
    i, j = (torch.arange(length) + 0.5 for length in size)
    centres = torch.cartesian_prod(i, j).view(-1, 1, 2) * stride
    root = [math.sqrt(ratio) for ratio in ratios]
    half = scale / 2 * torch.tensor([[one, 1 / one] for one in root])
    return torch.cat([centres - half, centres + half], dim=2).view(-1, 4)


def match(
    boxes: Float[Tensor, "n 4"],
    objects: Objects,
    *,
    background: float,
    positive: float,
    rescue: bool,
) -> Int64[Tensor, " n"]:
    """The number of the object that each box shows; BACKGROUND, or BETWEEN.

    A box that mostly lies on what is not known is not background.

    Args:
        boxes: The boxes.
        objects: The objects of their image.
        background: A box of a lower IoU with all objects shows background.
        positive: A box shows the object with which its IoU is highest, if this much.
        rescue: Whether the boxes of the highest IoU with an object show it, however
            low it is, so that each object is learned.

    Source:
        Ren 2015, arXiv:1506.01497, section 3.1.2.
    """
    if len(objects.boxes):
        overlap = box_iou(boxes, objects.boxes)
        highest, found = overlap.max(1)
    else:
        highest = boxes.new_zeros(len(boxes))
        found = torch.zeros_like(highest, dtype=torch.int64)
    shown = torch.where(highest >= positive, found, BETWEEN)
    shown[highest < background] = BACKGROUND
    if rescue and len(objects.boxes):
        best = overlap.amax(0)
        rescued, owner = ((overlap == best) & (best > 0)).nonzero(as_tuple=True)
        shown[rescued] = owner
    unsure = (shown == BACKGROUND) & (_share(objects.ids == BETWEEN, boxes) > CROWDED)
    return torch.where(unsure, BETWEEN, shown)


def _share(
    mask: Bool[Tensor, "i j"], boxes: Float[Tensor, "n 4"]
) -> Float[Tensor, " n"]:
    """The share of each box, rounded to whole pixels, that a mask covers."""
    if not bool(mask.any()):
        return boxes.new_zeros(len(boxes))
    sums = torch.zeros(mask.shape[0] + 1, mask.shape[1] + 1).to(boxes)
    sums[1:, 1:] = mask.to(boxes).cumsum(0).cumsum(1)
    last = torch.tensor([*mask.shape, *mask.shape], device=boxes.device)
    places = boxes.round().long().clamp(min=0).minimum(last)
    low_i, low_j, high_i, high_j = places.T
    covered = sums[high_i, high_j] - sums[low_i, high_j]
    covered = covered - sums[high_i, low_j] + sums[low_i, low_j]
    return covered / box_area(places.to(boxes)).clamp(min=1)


def draw(
    shown: Int64[Tensor, " n"],
    *,
    count: int,
    share: float,
    generator: torch.Generator,
) -> tuple[Int64[Tensor, " positive"], Int64[Tensor, " negative"]]:
    """Draw boxes to learn from: some that show an object, the others background.

    Args:
        shown: What each box shows, as of `match`.
        count: Boxes that are drawn, if there are as many.
        share: Largest share of those that show an object.
        generator: On the CPU, so that it draws the same on every device.
    """
    positive = (shown >= 0).nonzero()[:, 0]
    negative = (shown == BACKGROUND).nonzero()[:, 0]
    positive = _some(positive, int(count * share), generator)
    return positive, _some(negative, count - len(positive), generator)


def _some(
    indices: Int64[Tensor, " n"], count: int, generator: torch.Generator
) -> Int64[Tensor, " m"]:
    """Up to a number of indices, drawn without replacement, in their order."""
    if len(indices) <= count:
        return indices
    chosen = torch.randperm(len(indices), generator=generator)[:count]
    return indices[chosen.sort().values.to(indices.device)]
