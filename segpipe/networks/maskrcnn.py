"""Mask R-CNN: He, Gkioxari, Dollár, Girshick 2017, arXiv:1703.06870."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from segpipe.networks.anchors import Objects, draw, find_objects, lay_anchors, match
from segpipe.networks.fpn import WIDEN, Pyramid
from segpipe.networks.heads import (
    BOX_BINS,
    MASK_BINS,
    BoxHead,
    MaskHead,
    ProposalHead,
    mask_cross_entropy,
)
from segpipe.networks.layers import Padding, SizeRule, initialize
from segpipe.networks.merging import Found, lay_scores
from segpipe.networks.regions import (
    clip,
    crop_masks,
    decode,
    encode,
    paste_mask,
    roi_align,
    suppress,
)

RATIOS = (0.5, 1.0, 2.0)  # height over width
SCALE = 4.0  # of an anchor, in strides of its level
DENSE = 16  # width of the dense layers, in base_channels
AREA = 256 * 256  # pixels for which the numbers below hold; larger images have more
PROPOSALS = 500  # of a level before suppression, and of all levels after it
DETECTIONS = 100
DRAWN_ANCHORS, DRAWN_REGIONS = 256, 128  # of a patch, to learn from
MASKED = DRAWN_REGIONS // 4  # positive regions at most: 1 to 3 negative ones
PROPOSAL_IOU, BOX_IOU = 0.7, 0.5  # above which the worse one is dropped
LEAST_SCORE = 0.05
STEP_SIZES = (0.1, 0.1, 0.2, 0.2)  # deviations of steps from regions to boxes
FLOOR = 1e-4  # of a probability
Total = Callable[[Tensor], Tensor]


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


class MaskRCNN(nn.Module):
    """Objects as boxes, each with a class and a mask, on a pyramid of features.

    It brings its own loss, for which the connected components of each class of the
    reference are the objects. In use it gives logits as other networks do: the masks of
    the objects that it found, laid over each other in the order of their scores, with
    lines of background between touching ones of a class.

    The paper's network with ResNet-50-FPN but for its anchors, which are four times
    finer: images are not enlarged to 800 pixels. Reasons, and what else deviates:
    docs/decisions/0032-mask-r-cnn.md.

    Args:
        in_channels: Channels of the image.
        out_channels: Classes, background included.
        base_channels: Channels of the first convolution; 64 in the paper.
        padding: ``same``.
    """

    dimensions: ClassVar[Literal[2, 3]] = 2
    stride: ClassVar[int] = 16
    margin: ClassVar[int] = 0
    sees_tile_statistics: ClassVar[bool] = False
    paddings: ClassVar[tuple[Padding, ...]] = ("same",)
    brings_loss: ClassVar[bool] = True
    is_one_graph: ClassVar[bool] = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        base_channels: int = 64,
        padding: Padding = "same",  # not read: the paper pads always
    ) -> None:
        super().__init__()
        self.sizes = SizeRule("maskrcnn", stride=self.stride, offset=0, margin=0)
        self.output_size = self.sizes.output_size
        self.input_size = self.sizes.input_size
        self.classes = out_channels - 1
        wide = WIDEN * base_channels
        self.pyramid = Pyramid(in_channels, base_channels)
        self.proposals = ProposalHead(wide, len(RATIOS))
        self.boxes = BoxHead(wide, self.classes, DENSE * base_channels)
        self.masks = MaskHead(wide, self.classes)
        initialize(self)
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=math.sqrt(2 / layer.in_features))
                nn.init.zeros_(layer.bias)
        for last in (self.proposals.score, self.proposals.step, self.boxes.kind):
            nn.init.normal_(last.weight, std=0.01)
        nn.init.normal_(self.boxes.step.weight, std=0.001)

    def forward(self, image: Float[Tensor, "B C i j"]) -> Float32[Tensor, "B K i j"]:
        """Logits of each class: what was found, laid over the image."""
        if image.is_meta:
            return self._shapes(image)
        with torch.no_grad():
            seen = self._see(image)
            found = [self._detect(seen, number) for number in range(len(image))]
        return torch.stack(found)

    def loss(
        self,
        image: Float[Tensor, "B C i j"],
        reference: Int64[Tensor, "B i j"],
        weight: Float[Tensor, "B i j"],
        *,
        seeds: Sequence[int],
        total: Total,
    ) -> Float32[Tensor, ""]:
        """L_cls + L_box + L_mask, and both losses of the proposals.

        Args:
            image: Images.
            reference: Class of each pixel; negative where nobody knows.
            weight: 0 where nobody knows; its other values do not count.
            seeds: Seed of the regions that are drawn, for each image.
            total: Turns sums of this process into sums over all processes that share
                the batch.

        Source:
            Section 3; section 3.1 for 1 to 3 regions with and without an object, of
            which an IoU of 0.5 with it decides.
        """
        seen = self._see(image)
        sums: list[Tensor] = []
        features: list[tuple[Tensor, Tensor]] = []
        learned: list[_Learned] = []
        for number, seed in enumerate(seeds):
            chance = torch.Generator().manual_seed(seed)
            known = (reference[number] >= 0) & (weight[number] > 0)
            objects = find_objects(reference[number], known)
            sums.append(_proposal_costs(seen, number, objects, chance))
            boxes = self._propose(seen, number)
            of = _choose(torch.cat([boxes, objects.boxes]), objects, chance)
            own = of.boxes[: of.positives]
            learned.append(of)
            features.append(
                (
                    _pool(seen, number, of.boxes, BOX_BINS),
                    _pool(seen, number, own, MASK_BINS),
                )
            )
        small, large = (torch.cat(part) for part in zip(*features, strict=True))
        kinds, steps = self.boxes(small)
        costs = torch.stack(sums).sum(0)
        costs = torch.cat([costs, _region_costs(kinds, steps, learned)])
        costs = torch.cat([costs, _mask_costs(self.masks(large), learned)])
        sum_of, count_of = total(costs).view(-1, 2).T
        return torch.sum(sum_of / count_of.detach().clamp(min=1))

    def _see(self, image: Tensor) -> Seen:
        """Features, anchors, and what the proposal head says of them."""
        levels = self.pyramid(image)
        found = [self.proposals(level) for level in levels]
        anchors = [
            lay_anchors(
                (level.shape[2], level.shape[3]),
                stride=stride,
                scale=SCALE * stride,
                ratios=RATIOS,
            )
            for level, stride in zip(levels, self.pyramid.strides, strict=True)
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
    def _propose(self, seen: Seen, number: int) -> Float32[Tensor, "n 4"]:
        """The boxes in an image that may hold an object, the likeliest first."""
        most = _scaled(PROPOSALS, seen.size)
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

    def _detect(self, seen: Seen, number: int) -> Float32[Tensor, "K i j"]:
        """Logits of an image of a batch."""
        regions = self._propose(seen, number)
        kinds, steps = self.boxes(_pool(seen, number, regions, BOX_BINS))
        shares = kinds.softmax(1)[:, 1:]
        rows, classes = (shares > LEAST_SCORE).nonzero(as_tuple=True)
        scores = shares[rows, classes]
        sizes = steps.new_tensor(STEP_SIZES)
        boxes = clip(decode(steps[rows, classes] * sizes, regions[rows]), seen.size)
        most = _scaled(DETECTIONS, seen.size)
        best = suppress(boxes, scores, iou=BOX_IOU, groups=classes, most=most)
        boxes, classes, scores = boxes[best], classes[best], scores[best]
        masks = self.masks(_pool(seen, number, boxes, MASK_BINS))
        own = masks[torch.arange(len(boxes)).to(classes), classes].sigmoid()
        evidence = masks.new_zeros(self.classes, *seen.size)
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

    def _shapes(self, image: Tensor) -> Tensor:
        """The logits on torch's meta device, where as much is run as may be found."""
        seen = self._see(image)
        wide, images = seen.levels[0].shape[1], len(image)
        regions = DRAWN_REGIONS if self.training else _scaled(PROPOSALS, seen.size)
        masked = MASKED if self.training else _scaled(DETECTIONS, seen.size)
        self.boxes(image.new_zeros(images * regions, wide, BOX_BINS, BOX_BINS))
        self.masks(image.new_zeros(images * masked, wide, MASK_BINS, MASK_BINS))
        return image.new_zeros(images, self.classes + 1, *seen.size)


@dataclass(frozen=True, eq=False)
class _Learned:
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
def _choose(boxes: Tensor, objects: Objects, chance: torch.Generator) -> _Learned:
    """Draw the regions to learn from, and what they are to show."""
    shown = match(boxes, objects, background=0.5, positive=0.5, rescue=False)
    positive, negative = draw(
        shown, count=DRAWN_REGIONS, share=MASKED / DRAWN_REGIONS, generator=chance
    )
    own, owners = boxes[positive], shown[positive]
    none = torch.zeros_like(negative)
    sizes = boxes.new_tensor(STEP_SIZES)
    return _Learned(
        boxes[torch.cat([positive, negative])],
        len(positive),
        torch.cat([objects.classes[owners], none]),
        encode(objects.boxes[owners], own) / sizes,
        crop_masks(objects.ids, own, owners, bins=2 * MASK_BINS),
    )


def _proposal_costs(
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


def _region_costs(
    kinds: Tensor, steps: Tensor, learned: Sequence[_Learned]
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


def _mask_costs(logits: Tensor, learned: Sequence[_Learned]) -> Float32[Tensor, " 2"]:
    """Sum and count of the loss of the masks of a batch."""
    classes = torch.cat([of.classes[: of.positives] for of in learned])
    masks = torch.cat([of.masks for of in learned])
    count = logits.new_tensor(float(masks.numel()))
    return torch.stack([mask_cross_entropy(logits, masks, classes - 1) * count, count])


def _pool(seen: Seen, number: int, boxes: Float32[Tensor, "n 4"], bins: int) -> Tensor:
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


def _scaled(number: int, size: tuple[int, int]) -> int:
    """A number that holds for AREA pixels, for an image of a size; never less."""
    return math.ceil(number * max(1.0, math.prod(size) / AREA))


def _as_logits(shares: Float32[Tensor, "K i j"]) -> Float32[Tensor, "kinds i j"]:
    """Logits whose softmax are the shares, where only one class has one."""
    rest = (1 - shares.amax(0, keepdim=True)).clamp(min=FLOOR)
    return torch.cat([rest, shares.clamp(min=FLOOR)]).log()
