"""Objectives: which anchors and regions Mask R-CNN learns from, and what they cost."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float32
from torch import Tensor
from torch.nn import functional as F

from segpipe.networks.anchors import Objects, draw, match
from segpipe.networks.heads import MASK_BINS, STEP_SIZES, mask_cross_entropy
from segpipe.networks.proposals import Seen
from segpipe.networks.regions import crop_masks, encode

DRAWN_ANCHORS, DRAWN_REGIONS = 256, 128  # of a patch, to learn from
MASKED = DRAWN_REGIONS // 4  # positive regions at most: 1 to 3 negative ones


@dataclass(frozen=True, eq=False)
class Learned:
    """Regions of an image that are learned, those that show an object first.

    Attributes:
        boxes: The regions.
        positives: Number of those that show an object.
        classes: Class of each region, 0 for background.
        goals: Step from each positive region to the box of its object.
        masks: Mask of its object in each positive region.
    """

    boxes: Tensor
    positives: int
    classes: Tensor
    goals: Tensor
    masks: Tensor


@torch.no_grad()
def choose(boxes: Tensor, objects: Objects, chance: torch.Generator) -> Learned:
    """Draw the regions to learn from, and what they are to show."""
    shown = match(boxes, objects, background=0.5, positive=0.5, rescue=False)
    positive, negative = draw(
        shown, count=DRAWN_REGIONS, share=MASKED / DRAWN_REGIONS, generator=chance
    )
    own, owners = boxes[positive], shown[positive]
    none = torch.zeros_like(negative)
    sizes = boxes.new_tensor(STEP_SIZES)
    return Learned(
        boxes[torch.cat([positive, negative])],
        len(positive),
        torch.cat([objects.classes[owners], none]),
        encode(objects.boxes[owners], own) / sizes,
        crop_masks(objects.ids, own, owners, bins=2 * MASK_BINS),
    )


def proposal_costs(
    seen: Seen, number: int, objects: Objects, chance: torch.Generator
) -> Float32[Tensor, " 4"]:
    """Sum and count of both losses of the proposals of an image."""
    shown = match(seen.anchors, objects, background=0.3, positive=0.7, rescue=True)
    positive, negative = draw(shown, count=DRAWN_ANCHORS, share=0.5, generator=chance)
    drawn = torch.cat([positive, negative])
    logits = seen.scores[number, drawn]
    target = (shown[drawn] >= 0).to(logits)
    cost = F.binary_cross_entropy_with_logits(logits, target, reduction="sum")
    goals = encode(objects.boxes[shown[positive]], seen.anchors[positive])
    steps = seen.steps[number, positive]
    apart = F.smooth_l1_loss(steps, goals, reduction="sum", beta=1 / 9)
    count = cost.new_tensor(len(drawn))
    return torch.stack([cost, count, apart, count])


def region_costs(
    kinds: Tensor, steps: Tensor, learned: Sequence[Learned]
) -> Float32[Tensor, " 4"]:
    """Sum and count of the losses of class and box of the regions of a batch."""
    classes = torch.cat([of.classes for of in learned])
    surprise = -F.log_softmax(kinds, dim=1).gather(1, classes[:, None]).sum()
    positive = (classes > 0).nonzero()[:, 0]
    own = steps[positive, classes[positive] - 1]
    goals = torch.cat([of.goals for of in learned])
    apart = F.smooth_l1_loss(own, goals, reduction="sum", beta=1 / 9)
    count = surprise.new_tensor(len(classes))
    return torch.stack([surprise, count, apart, count])


def mask_costs(logits: Tensor, learned: Sequence[Learned]) -> Float32[Tensor, " 2"]:
    """Sum and count of the loss of the masks of a batch."""
    classes = torch.cat([of.classes[: of.positives] for of in learned])
    masks = torch.cat([of.masks for of in learned])
    count = logits.new_tensor(float(masks.numel()))
    return torch.stack([mask_cross_entropy(logits, masks, classes - 1) * count, count])
