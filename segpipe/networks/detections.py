"""Detections: the objects that Mask R-CNN finds, and the logits they make."""

import torch
from jaxtyping import Float32
from torch import Tensor

from segpipe.networks.heads import BOX_BINS, MASK_BINS, STEP_SIZES, BoxHead, MaskHead
from segpipe.networks.merging import Found, lay_scores
from segpipe.networks.proposals import Seen, pool, propose, scaled
from segpipe.networks.regions import clip, decode, paste_mask, suppress

DETECTIONS = 100  # in as many pixels as those of proposals are counted for
BOX_IOU = 0.5  # above which the worse one is dropped
LEAST_SCORE = 0.05
FLOOR = 1e-4  # of a probability


def detect(
    seen: Seen, number: int, boxes_of: BoxHead, masks_of: MaskHead
) -> Float32[Tensor, "K i j"]:
    """Logits of an image of a batch."""
    regions = propose(seen, number)
    kinds, steps = boxes_of(pool(seen, number, regions, BOX_BINS))
    shares = kinds.softmax(1)[:, 1:]
    rows, classes = (shares > LEAST_SCORE).nonzero(as_tuple=True)
    scores = shares[rows, classes]
    sizes = steps.new_tensor(STEP_SIZES)
    boxes = clip(decode(steps[rows, classes] * sizes, regions[rows]), seen.size)
    most = scaled(DETECTIONS, seen.size)
    best = suppress(boxes, scores, iou=BOX_IOU, groups=classes, most=most)
    boxes, classes, scores = boxes[best], classes[best], scores[best]
    masks = masks_of(pool(seen, number, boxes, MASK_BINS))
    own = masks[torch.arange(len(boxes)).to(classes), classes].sigmoid()
    evidence = masks.new_zeros(shares.shape[1], *seen.size)
    found = []
    for mask, box, kind, score in zip(
        own, boxes, classes.tolist(), scores.tolist(), strict=True
    ):
        start, values = paste_mask(mask, box, seen.size)
        one = Found(kind + 1, score, start, values >= 0.5)
        part = evidence[(kind, *one.box)]
        torch.maximum(part, score * values, out=part)
        found.append(one)
    return _as_logits(lay_scores(found, evidence))


def _as_logits(shares: Float32[Tensor, "K i j"]) -> Float32[Tensor, "kinds i j"]:
    """Logits whose softmax are the shares, where only one class has one."""
    rest = (1 - shares.amax(0, keepdim=True)).clamp(min=FLOOR)
    return torch.cat([rest, shares.clamp(min=FLOOR)]).log()
