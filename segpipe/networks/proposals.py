"""Proposals: what the pyramid and its head see, and where an object may be."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from segpipe.networks.anchors import lay_anchors
from segpipe.networks.fpn import Pyramid
from segpipe.networks.heads import ProposalHead
from segpipe.networks.regions import clip, decode, roi_align, suppress

RATIOS = (0.5, 1.0, 2.0)  # height over width
SCALE = 4.0  # of an anchor, in strides of its level
AREA = 256 * 256  # pixels for which the numbers below hold; larger images have more
PROPOSALS = 500  # of a level before suppression, and of all levels after it
PROPOSAL_IOU = 0.7  # above which the worse one is dropped


@dataclass(frozen=True, eq=False)
class Seen:
    """What the pyramid and the proposal head see in a batch.

    Attributes:
        levels: Features of each level, the finest first.
        scores: Logit of each anchor of all levels, level after level.
        steps: Step from each anchor.
        anchors: The anchors.
        level_of: Level of each anchor.
        size: Pixels of an image along i and j.
    """

    levels: list[Tensor]
    scores: Float32[Tensor, "B n"]
    steps: Float32[Tensor, "B n 4"]
    anchors: Float32[Tensor, "n 4"]
    level_of: Int64[Tensor, " n"]
    size: tuple[int, int]


def see(image: Tensor, pyramid: Pyramid, head: ProposalHead) -> Seen:
    """Features, anchors, and what the proposal head says of them."""
    levels = pyramid(image)
    found = [head(level) for level in levels]
    anchors = [
        lay_anchors(
            (level.shape[2], level.shape[3]),
            stride=stride,
            scale=SCALE * stride,
            ratios=RATIOS,
        )
        for level, stride in zip(levels, pyramid.strides, strict=True)
    ]
    level_of = [torch.full((len(own),), n) for n, own in enumerate(anchors)]
    return Seen(
        levels,
        torch.cat([scores for scores, _ in found], dim=1),
        torch.cat([steps for _, steps in found], dim=1),
        torch.cat(anchors).to(image.device),
        torch.cat(level_of).to(image.device),
        (image.shape[2], image.shape[3]),
    )


@torch.no_grad()
def propose(seen: Seen, number: int) -> Float32[Tensor, "n 4"]:
    """The boxes in an image that may hold an object, the likeliest first."""
    most = scaled(PROPOSALS, seen.size)
    scores, chosen = seen.scores[number], list[Tensor]()
    for level in range(len(seen.levels)):
        own = (seen.level_of == level).nonzero()[:, 0]
        best = scores[own].argsort(descending=True, stable=True)[:most]
        chosen.append(own[best])
    kept = torch.cat(chosen)
    boxes = decode(seen.steps[number, kept], seen.anchors[kept])
    boxes = clip(boxes, seen.size)
    whole = ((boxes[:, 2:] - boxes[:, :2]) >= 1).all(1)
    boxes, kept = boxes[whole], kept[whole]
    best = suppress(
        boxes,
        scores[kept],
        iou=PROPOSAL_IOU,
        groups=seen.level_of[kept],
        most=most,
    )
    return boxes[best]


def pool(seen: Seen, number: int, boxes: Float32[Tensor, "n 4"], bins: int) -> Tensor:
    """The features in each box, from the level whose anchors are as large.

    Source:
        Lin 2017, arXiv:1612.03144, equation 1: a level more for twice the size. A box
        of 7 strides has the level of the stride, as one of 224 pixels has stride 16 up
        to a factor of 2.
    """
    sides = boxes[:, 2:] - boxes[:, :2]
    finest = math.log2(7 * Pyramid.strides[0])
    level_of = 0.5 * sides.prod(1).clamp(min=1e-6).log2() - finest
    level_of = level_of.floor().clamp(0, len(Pyramid.strides) - 2).long()
    found, places = list[Tensor](), list[Tensor]()
    for level, stride in enumerate(Pyramid.strides[:-1]):
        own = (level_of == level).nonzero()[:, 0]
        features = seen.levels[level][number]
        found.append(roi_align(features, boxes[own], bins=bins, stride=stride))
        places.append(own)
    return torch.cat(found)[torch.cat(places).argsort()]


def scaled(number: int, size: tuple[int, int]) -> int:
    """A number that holds for AREA pixels, for an image of a size; never less."""
    return math.ceil(number * max(1.0, math.prod(size) / AREA))
