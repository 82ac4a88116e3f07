"""Mask R-CNN: He, Gkioxari, Dollár, Girshick 2017, arXiv:1703.06870."""

import math
from collections.abc import Callable, Sequence
from typing import ClassVar, Literal

import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor, nn

from segpipe.networks.anchors import find_objects
from segpipe.networks.detections import DETECTIONS, detect
from segpipe.networks.fpn import WIDEN, Pyramid
from segpipe.networks.heads import (
    BOX_BINS,
    MASK_BINS,
    BoxHead,
    MaskHead,
    ProposalHead,
)
from segpipe.networks.layers import Padding, SizeRule, initialize
from segpipe.networks.objectives import (
    DRAWN_REGIONS,
    MASKED,
    Learned,
    choose,
    mask_costs,
    proposal_costs,
    region_costs,
)
from segpipe.networks.proposals import (
    PROPOSALS,
    RATIOS,
    Seen,
    pool,
    propose,
    scaled,
    see,
)

DENSE = 16  # width of the dense layers, in base_channels
Total = Callable[[Tensor], Tensor]


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
        if not self.boxes.kind.weight.is_meta:
            self._initialize_dense()

    def forward(self, image: Float[Tensor, "B C i j"]) -> Float32[Tensor, "B K i j"]:
        """Logits of each class: what was found, laid over the image."""
        if image.is_meta:
            return self._shapes(image)
        with torch.no_grad():
            seen = self._see(image)
            found = [
                detect(seen, number, self.boxes, self.masks)
                for number in range(len(image))
            ]
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
        learned: list[Learned] = []
        for number, seed in enumerate(seeds):
            chance = torch.Generator().manual_seed(seed)
            known = (reference[number] >= 0) & (weight[number] > 0)
            objects = find_objects(reference[number], known)
            sums.append(proposal_costs(seen, number, objects, chance))
            boxes = propose(seen, number)
            of = choose(torch.cat([boxes, objects.boxes]), objects, chance)
            own = of.boxes[: of.positives]
            learned.append(of)
            features.append(
                (
                    pool(seen, number, of.boxes, BOX_BINS),
                    pool(seen, number, own, MASK_BINS),
                )
            )
        small, large = (torch.cat(part) for part in zip(*features, strict=True))
        kinds, steps = self.boxes(small)
        costs = torch.stack(sums).sum(0)
        costs = torch.cat([costs, region_costs(kinds, steps, learned)])
        costs = torch.cat([costs, mask_costs(self.masks(large), learned)])
        sum_of, count_of = total(costs).view(-1, 2).T
        return torch.sum(sum_of / count_of.detach().clamp(min=1))

    def _initialize_dense(self) -> None:
        """Draw the weights that `initialize` leaves; those that come last are small."""
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=math.sqrt(2 / layer.in_features))
                nn.init.zeros_(layer.bias)
        for last in (self.proposals.score, self.proposals.step, self.boxes.kind):
            nn.init.normal_(last.weight, std=0.01)
        nn.init.normal_(self.boxes.step.weight, std=0.001)

    def _see(self, image: Tensor) -> Seen:
        """Features, anchors, and what the proposal head says of them."""
        return see(image, self.pyramid, self.proposals)

    def _shapes(self, image: Tensor) -> Tensor:
        """The logits on torch's meta device, where as much is run as may be found."""
        levels, size = self.pyramid(image), (image.shape[2], image.shape[3])
        for level in levels:
            self.proposals(level)
        wide, images = levels[0].shape[1], len(image)
        regions = DRAWN_REGIONS if self.training else scaled(PROPOSALS, size)
        masked = MASKED if self.training else scaled(DETECTIONS, size)
        self.boxes(image.new_zeros(images * regions, wide, BOX_BINS, BOX_BINS))
        self.masks(image.new_zeros(images * masked, wide, MASK_BINS, MASK_BINS))
        return image.new_zeros(images, self.classes + 1, *size)
