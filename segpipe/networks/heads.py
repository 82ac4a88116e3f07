"""The heads of Mask R-CNN: proposals, boxes with their classes, and masks."""

import torch
from jaxtyping import Bool, Float, Float32, Int64
from torch import Tensor, nn
from torch.nn import functional as F

BOX_BINS = 7  # of a region that the box head sees, along each axis
MASK_BINS = 14  # of one that the mask head sees; its masks have twice as many
STEP_SIZES = (0.1, 0.1, 0.2, 0.2)  # deviations of steps from regions to boxes


class ProposalHead(nn.Module):
    """The region proposal network: what each anchor is, object or not, and where.

    Args:
        channels: Channels of the features.
        anchors: Anchors at each feature.

    Source:
        Ren 2015, arXiv:1506.01497, section 3.1; Lin 2017, arXiv:1612.03144, section 4.1
        (one head for all levels).
    """

    def __init__(self, channels: int, anchors: int) -> None:
        super().__init__()
        self.hidden = nn.Conv2d(channels, channels, 3, padding=1)
        self.score = nn.Conv2d(channels, anchors, 1)
        self.step = nn.Conv2d(channels, 4 * anchors, 1)

    def forward(
        self, features: Float[Tensor, "B C i j"]
    ) -> tuple[Float32[Tensor, "B n"], Float32[Tensor, "B n 4"]]:
        """Logit of an object, and the step to its box, for each anchor of a level."""
        hidden = F.relu(self.hidden(features))
        scores = self.score(hidden).float().permute(0, 2, 3, 1)
        steps = self.step(hidden).float().permute(0, 2, 3, 1)
        return scores.flatten(1), steps.reshape(len(features), -1, 4)


class BoxHead(nn.Module):
    """Two dense layers, then a class for each region, and a box for each class.

    Args:
        channels: Channels of the features.
        classes: Classes, background left out.
        dense: Width of the dense layers; 1024 in the paper.

    Source:
        Lin 2017, arXiv:1612.03144, section 4.2; Girshick 2015, arXiv:1504.08083, for a
        box for each class.
    """

    def __init__(self, channels: int, classes: int, dense: int) -> None:
        super().__init__()
        self.dense = nn.Sequential(
            nn.Flatten(),
            nn.Linear(channels * BOX_BINS**2, dense),
            nn.ReLU(inplace=True),
            nn.Linear(dense, dense),
            nn.ReLU(inplace=True),
        )
        self.kind = nn.Linear(dense, classes + 1)
        self.step = nn.Linear(dense, 4 * classes)

    def forward(
        self, regions: Float[Tensor, "n C b b"]
    ) -> tuple[Float32[Tensor, "n kinds"], Float32[Tensor, "n K 4"]]:
        """Logits of background and the classes, and the step to the box of each."""
        hidden = self.dense(regions)
        steps = self.step(hidden).float()
        return self.kind(hidden).float(), steps.unflatten(1, (-1, 4))


class MaskHead(nn.Module):
    """Four convolutions, a transposed one that doubles the size, and K masks.

    Args:
        channels: Channels of the features, and of all layers.
        classes: Classes, background left out: K.

    Source:
        He 2017, arXiv:1703.06870, section 3.2 and figure 4, right.
    """

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(4):
            layers += [nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU()]
        layers += [nn.ConvTranspose2d(channels, channels, 2, stride=2), nn.ReLU()]
        layers.append(nn.Conv2d(channels, classes, 1))
        self.layers = nn.Sequential(*layers)

    def forward(self, regions: Float[Tensor, "n C b b"]) -> Float32[Tensor, "n K m m"]:
        """Logits of the mask of each class, of 28 x 28 pixels for 14 x 14 features."""
        return torch.as_tensor(self.layers(regions)).float()


def mask_cross_entropy(
    logits: Float[Tensor, "roi C m m"],
    masks: Bool[Tensor, "roi m m"],
    classes: Int64[Tensor, " roi"],
) -> Float32[Tensor, ""]:
    """Binary cross-entropy of the mask of each region's own class; others are free.

    Args:
        logits: A mask for each class, in each region of interest.
        masks: What the region shows of its object.
        classes: Class of the object; a negative one is a region without an object,
            which does not count.

    Returns:
        The mean over the pixels of the regions that count; 0 if none does.

    Source:
        He 2017, arXiv:1703.06870, section 3: a sigmoid for each pixel, so that classes
        do not compete.
    """
    counting = classes >= 0
    rows = torch.arange(len(classes), device=classes.device)[counting]
    own = logits[rows, classes[counting]].float()
    cost = F.binary_cross_entropy_with_logits(
        own, masks[counting].float(), reduction="sum"
    )
    return cost / max(own.numel(), 1)
