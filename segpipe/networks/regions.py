"""Regions: boxes, what features show inside them, and masks that are drawn there.

A box is (i0, j0, i1, j1) in pixels of the image. Pixel n covers n to n + 1 and has its
value at n + 1/2: nothing is rounded to whole pixels.
"""

import math

import torch
from jaxtyping import Bool, Float, Int64, Integer
from torch import Tensor
from torch.nn import functional as F

BLOCK = 512  # boxes that are compared with each other at once
LARGEST_STEP = math.log(1000 / 16)  # of the logarithm of a size; Girshick's Detectron


def box_area(boxes: Float[Tensor, "n 4"]) -> Float[Tensor, " n"]:
    """Area of each box; 0 for one whose end lies before its start."""
    return (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(1)


def box_iou(
    boxes: Float[Tensor, "n 4"], others: Float[Tensor, "m 4"]
) -> Float[Tensor, "n m"]:
    """Intersection over union of each box with each of the others; 0 for two points."""
    start = torch.maximum(boxes[:, None, :2], others[:, :2])
    stop = torch.minimum(boxes[:, None, 2:], others[:, 2:])
    both = (stop - start).clamp(min=0).prod(2)
    union = box_area(boxes)[:, None] + box_area(others) - both
    return both / torch.where(union > 0, union, 1.0)


def suppress(
    boxes: Float[Tensor, "n 4"],
    scores: Float[Tensor, " n"],
    *,
    iou: float,
    groups: Int64[Tensor, " n"] | None = None,
    most: int | None = None,
) -> Int64[Tensor, " kept"]:
    """Non-maximum suppression: keep a box unless a better one that is kept covers it.

    Args:
        boxes: The boxes.
        scores: How good each is; of equal ones the first is better.
        iou: A box is dropped if its IoU with a kept one is larger.
        groups: Class of each box: boxes of different classes drop no other. By default
            all are of one.
        most: Boxes that are kept at most.

    Returns:
        Indices of the kept boxes, the best first.

    Source:
        Girshick 2014, arXiv:1311.2524, section 2.2 (greedy, for each class apart).
    """
    order = scores.argsort(descending=True, stable=True)
    boxes = boxes[order]
    own = torch.zeros_like(order) if groups is None else groups[order]
    alive = torch.ones_like(order, dtype=torch.bool)
    kept, count = [order[:0]], 0
    for start in range(0, len(order), BLOCK):
        rows = start + alive[start : start + BLOCK].nonzero()[:, 0]
        covers = _covers(boxes[rows], own[rows], boxes[rows], own[rows], iou)
        rows = rows[_first_of_each(covers)]
        kept.append(order[rows])
        count += len(rows)
        if most is not None and count >= most:
            break
        rest = slice(start + BLOCK, None)
        covered = _covers(boxes[rows], own[rows], boxes[rest], own[rest], iou)
        alive[rest] &= ~covered.any(0)
    return torch.cat(kept)[:most]


def _covers(
    boxes: Tensor, own: Tensor, others: Tensor, their: Tensor, iou: float
) -> Bool[Tensor, "n m"]:
    """Whether each box covers each of the others, which must be of its group."""
    return (box_iou(boxes, others) > iou) & (own[:, None] == their)


def _first_of_each(covers: Bool[Tensor, "n n"]) -> Bool[Tensor, " n"]:
    """Which boxes are kept, if each that is kept drops those after it that it covers.

    The loop runs on the CPU, where a step of it is short.
    """
    table = covers.cpu().numpy()
    free = torch.ones(len(table), dtype=torch.bool).numpy()
    for at in range(len(table)):
        if free[at]:
            free[at + 1 :] &= ~table[at, at + 1 :]
    return torch.from_numpy(free).to(covers.device)


def encode(
    boxes: Float[Tensor, "n 4"], anchors: Float[Tensor, "n 4"]
) -> Float[Tensor, "n 4"]:
    """Steps from anchors to boxes: of the centre in sizes, and of the sizes' logarithm.

    Source:
        Girshick 2014, arXiv:1311.2524, appendix C.
    """
    size = anchors[:, 2:] - anchors[:, :2]
    goal = boxes[:, 2:] - boxes[:, :2]
    centre = (boxes[:, :2] + boxes[:, 2:] - anchors[:, :2] - anchors[:, 2:]) / 2
    return torch.cat([centre / size, (goal / size).log()], dim=1)


def decode(
    steps: Float[Tensor, "n 4"], anchors: Float[Tensor, "n 4"]
) -> Float[Tensor, "n 4"]:
    """The boxes to which steps lead from anchors: `encode` undone."""
    size = anchors[:, 2:] - anchors[:, :2]
    centre = (anchors[:, :2] + anchors[:, 2:]) / 2 + steps[:, :2] * size
    half = size * steps[:, 2:].clamp(max=LARGEST_STEP).exp() / 2
    return torch.cat([centre - half, centre + half], dim=1)


def clip(boxes: Float[Tensor, "n 4"], size: tuple[int, int]) -> Float[Tensor, "n 4"]:
    """The part of each box that lies in an image."""
    return boxes.clamp(min=0).minimum(boxes.new_tensor([*size, *size]))


def roi_align(
    features: Float[Tensor, "C i j"],
    boxes: Float[Tensor, "n 4"],
    *,
    bins: int,
    stride: int = 1,
    samples: int = 2,
) -> Float[Tensor, "n C bins bins"]:
    """The features in each box, in as many bins along each axis, by interpolation.

    A bin is the mean over samples x samples points, evenly spaced in it, of which each
    is interpolated between the centres of the four nearest features. Beyond the
    outermost centres the outermost values go on. Boxes have no gradient.

    Args:
        features: Features of one image.
        boxes: The boxes, in pixels of the image.
        bins: Bins along each axis.
        stride: Pixels of the image that a feature covers.
        samples: Points along each axis of a bin.

    Source:
        He 2017, arXiv:1703.06870, section 3: no quantization, four points a bin. The
        convention of half pixels is that of Detectron2 (``aligned=True``). Weighted
        sums over rows of a table take a third of the time of ``grid_sample``, and are
        deterministic on a GPU, which its gradient is not.
    """
    channels, height, width = features.shape
    if not len(boxes):  # empty, and part of the gradient
        return features.sum() * features.new_zeros(0, channels, bins, bins)
    places, weights = _bilinear(boxes / stride, (height, width), bins, samples)
    table = features.float().permute(1, 2, 0).reshape(height * width, channels)
    found = F.embedding_bag(
        places.flatten(0, 2),
        table,
        mode="sum",
        per_sample_weights=weights.flatten(0, 2).to(table),
    )
    return found.view(-1, bins, bins, channels).permute(0, 3, 1, 2)


def crop_masks(
    ids: Integer[Tensor, "i j"],
    boxes: Float[Tensor, "n 4"],
    owners: Int64[Tensor, " n"],
    *,
    bins: int,
) -> Bool[Tensor, "n bins bins"]:
    """The mask of one object in each box, resized: the target of a mask branch.

    Args:
        ids: The object that each pixel of the image belongs to.
        boxes: The boxes.
        owners: The object whose mask each box is to show.
        bins: Size of the masks.

    Source:
        He 2017, arXiv:1703.06870, section 3.1: the intersection of a region and its
        object; a pixel is true where the object has half of it, or more.
    """
    places, weights = _bilinear(boxes, (ids.shape[0], ids.shape[1]), bins, 2)
    inside = ids.flatten()[places] == owners[:, None, None, None]
    return (inside * weights).sum(3) >= 0.5


def _bilinear(
    boxes: Float[Tensor, "n 4"], size: tuple[int, int], bins: int, samples: int
) -> tuple[Int64[Tensor, "n bins bins s"], Float[Tensor, "n bins bins s"]]:
    """Places in a flat table whose weighted sum is the mean over a bin's points."""
    i, share_i = _along(boxes[:, 0], boxes[:, 2], size[0], bins, samples)
    j, share_j = _along(boxes[:, 1], boxes[:, 3], size[1], bins, samples)
    places = i[:, :, None, :, None] * size[1] + j[:, None, :, None, :]
    weights = share_i[:, :, None, :, None] * share_j[:, None, :, None, :]
    return places.flatten(3), weights.flatten(3)


def _along(
    start: Float[Tensor, " n"],
    stop: Float[Tensor, " n"],
    length: int,
    bins: int,
    samples: int,
) -> tuple[Int64[Tensor, "n bins s"], Float[Tensor, "n bins s"]]:
    """Indices and shares along one axis, two for each point of a bin."""
    points = bins * samples
    offset = (torch.arange(points, device=start.device) + 0.5) / points
    at = start[:, None] + offset * (stop - start)[:, None]
    low, share = _between(at, length)
    indices = torch.stack([low, (low + 1).clamp(max=length - 1)], dim=2)
    shares = torch.stack([1 - share, share], dim=2) / samples
    return indices.view(-1, bins, 2 * samples), shares.view(-1, bins, 2 * samples)


def _between(
    at: Float[Tensor, "*points"], length: int
) -> tuple[Int64[Tensor, "*points"], Float[Tensor, "*points"]]:
    """The value before each point of an axis, and the share of the one after it."""
    at = (at - 0.5).clamp(0, length - 1)
    low = at.floor().clamp(max=max(length - 2, 0))
    return low.long(), at - low


def paste_mask(
    mask: Float[Tensor, "m m"], box: Float[Tensor, " 4"], size: tuple[int, int]
) -> tuple[tuple[int, int], Float[Tensor, "h w"]]:
    """A mask at the size of its box, at the pixels whose centres lie inside it.

    Args:
        mask: The mask of a region.
        box: The region.
        size: Size of the image.

    Returns:
        The first pixel along each axis, and the values from there on; there may be
        none.

    Source:
        He 2017, arXiv:1703.06870, section 3.1: the mask is resized to its region.
    """
    corner = [float(side) for side in box]
    start, values = list[int](), mask
    for axis in (0, 1):
        low, high = corner[axis], corner[axis + 2]
        first = max(0, math.ceil(low - 0.5))
        centres = torch.arange(first, min(size[axis], math.ceil(high - 0.5))) + 0.5
        place = (centres - low) * (len(mask) / max(high - low, 1e-6))
        before, share = _between(place.to(mask), len(mask))
        after = (before + 1).clamp(max=len(mask) - 1)
        # No product of matrices: threads wait longer for each other than they work.
        low_values, high_values = (
            values.index_select(axis, n) for n in (before, after)
        )
        values = torch.lerp(
            low_values, high_values, share[:, None] if axis == 0 else share
        )
        start.append(first)
    return (start[0], start[1]), values
