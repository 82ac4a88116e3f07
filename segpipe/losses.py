"""Losses: (logits, reference, weight) -> scalar; a voxel of weight 0 has no part in it.

B = batch, C = classes, the rest are the axes of the patch. The reference holds class
indices; where it is negative (not annotated) the weight must be 0.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor
from torch.nn import functional as F


def cross_entropy(
    logits: Float[Tensor, "B C i j k"],
    reference: Int64[Tensor, "B i j k"],
    weight: Float32[Tensor, "B i j k"],
) -> Float32[Tensor, ""]:
    """Pixel-weighted softmax cross-entropy, sum(w * ce) / sum(w).

    Returns:
        The weighted mean; 0 (with gradient 0) for a batch without any weight, where a
        plain mean is NaN.

    Source:
        Ronneberger 2015, arXiv:1505.04597, section 3 (there a sum; the weighted mean
        keeps the learning rate independent of patch size and annotated share);
        Çiçek 2016, arXiv:1606.06650, section 2, for weight 0 where not annotated.
    """
    each = F.cross_entropy(logits.float(), reference.clamp(min=0), reduction="none")
    total = weight.sum()
    return (each * weight).sum() / torch.where(total > 0, total, 1.0)


def dice(
    logits: Float[Tensor, "B C i j k"],
    reference: Int64[Tensor, "B i j k"],
    weight: Float32[Tensor, "B i j k"],
) -> Float32[Tensor, ""]:
    """V-Net's Dice loss with squares, 1 - D, mean over the foreground classes.

    D = 2 sum(p g) / (sum(p^2) + sum(g^2)), the sums over all voxels of the batch, each
    times its weight. A class that the batch does not hold has no gradient in this form
    and is left out of the mean.

    Returns:
        From 0 to 1; 0 for a batch without weighted foreground.

    Source:
        Milletari 2016, arXiv:1606.04797, section 3; for more than two classes the mean
        over classes as in common use.
    """
    probabilities = logits.float().softmax(dim=1)[:, 1:]
    classes = torch.arange(1, logits.shape[1], device=logits.device)
    target = reference[:, None] == classes[None, :, None, None, None]
    axes, mask = (0, 2, 3, 4), weight[:, None]
    overlap = (probabilities * target * mask).sum(axes)
    volume = (target * mask).sum(axes)
    total = (probabilities.square() * mask).sum(axes) + volume
    present = volume > 0
    score = 2 * overlap / torch.where(present, total, 1.0)
    return torch.where(present, 1 - score, 0.0).sum() / present.sum().clamp(min=1)


def dice_cross_entropy(
    logits: Float[Tensor, "B C i j k"],
    reference: Int64[Tensor, "B i j k"],
    weight: Float32[Tensor, "B i j k"],
) -> Float32[Tensor, ""]:
    """The sum of dice and cross_entropy.

    Source:
        Isensee 2021, doi:10.1038/s41592-020-01008-z, with V-Net's form of Dice.
    """
    return dice(logits, reference, weight) + cross_entropy(logits, reference, weight)


Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
LOSSES: dict[str, Loss] = {
    "cross_entropy": cross_entropy,
    "dice": dice,
    "dice_cross_entropy": dice_cross_entropy,
}
