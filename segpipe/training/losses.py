"""Losses: (logits, reference, weight) -> scalar; a voxel of weight 0 has no part in it.

B = batch, C = classes, the rest are the axes of the patch. The reference holds class
indices; where it is negative (not annotated) the weight must be 0.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import torch
from jaxtyping import Float, Float32, Int64
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from segpipe.project.params import Params

Reduction = Literal["mean", "sum"]
Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
Total = Callable[[Tensor], Tensor]  # a sum over the batch, to that of all processes


class LossParams(Params):
    """What a training lowers.

    Attributes:
        name: Of the loss.
        reduction: Of voxel-wise losses: the weighted ``mean``, or the ``sum`` as in
            U-Net's equation 1 (then the learning rate depends on the patch's size).
        focal_gamma: Of focal: how little voxels count that are right already.
        focal_alpha: Of focal: a factor of it all.
        kept_fraction: Share of voxels that a step looks at, drawn at random; 1 is all.
    """

    name: Literal["cross_entropy", "dice", "dice_cross_entropy", "focal"]
    reduction: Reduction
    focal_gamma: float = Field(ge=0)
    focal_alpha: float = Field(gt=0)
    kept_fraction: float = Field(gt=0, le=1)


def alone(part: Tensor) -> Tensor:
    """The total of one process: its own sum."""
    return part


def build_loss(params: LossParams, total: Total = alone) -> Loss:
    """The loss of a section ``loss``.

    Args:
        params: The section.
        total: Makes of this process's sums those of all processes that share a batch.
    """
    overlap = partial(dice, total=total)
    if params.name == "dice":
        return overlap
    voxelwise = partial(cross_entropy, reduction=params.reduction, total=total)
    if params.name == "cross_entropy":
        return voxelwise
    if params.name == "focal":
        return partial(
            focal,
            gamma=params.focal_gamma,
            alpha=params.focal_alpha,
            reduction=params.reduction,
            total=total,
        )
    return lambda *batch: overlap(*batch) + voxelwise(*batch)


def keep_some(
    weight: Float32[Tensor, "B i j k"],
    kept_fraction: float,
    generators: Sequence[torch.Generator],
) -> Float32[Tensor, "B i j k"]:
    """The weights with terms left out at random, the rest raised to make up for them.

    Args:
        weight: Of the loss.
        kept_fraction: Probability of each voxel to stay; 1 changes nothing.
        generators: One a patch, on the CPU: the same state keeps the same voxels.

    Source:
        Shelhamer 2017, arXiv:1605.06211, section 4.3 (loss sampling).
    """
    if kept_fraction == 1:
        return weight
    shape = weight.shape[1:]
    drawn = torch.stack([torch.rand(shape, generator=chance) for chance in generators])
    return weight * (drawn < kept_fraction).to(weight.device) / kept_fraction


def _reduce(each: Tensor, weight: Tensor, reduction: Reduction, total: Total) -> Tensor:
    """Sum of w times each; for the mean over the sum of w, or 0 where that is 0."""
    cost = total((each * weight).sum())
    if reduction == "sum":
        return cost
    weights = total(weight.sum())
    return cost / torch.where(weights > 0, weights, 1.0)


def _surprise(logits: Tensor, reference: Tensor) -> Tensor:
    """-log p of the reference's class, of each voxel.

    As F.cross_entropy, to the bit, in half the time; and deterministic on a GPU, where
    torch's NLLLoss is not.
    """
    logarithms = F.log_softmax(logits.float(), dim=1)
    return -logarithms.gather(1, reference.clamp(min=0)[:, None])[:, 0]


def cross_entropy(
    logits: Float[Tensor, "B C i j k"],
    reference: Int64[Tensor, "B i j k"],
    weight: Float32[Tensor, "B i j k"],
    *,
    reduction: Reduction,
    total: Total = alone,
) -> Float32[Tensor, ""]:
    """Pixel-weighted softmax cross-entropy.

    Returns:
        sum(w * ce), or that over sum(w), the weighted mean; 0 (with gradient 0) for a
        batch without any weight, where a plain mean is NaN.

    Source:
        Ronneberger 2015, arXiv:1505.04597, section 3 (there a sum; the weighted mean
        keeps the learning rate independent of patch size and annotated share);
        Çiçek 2016, arXiv:1606.06650, section 2, for weight 0 where not annotated.
    """
    each = _surprise(logits, reference)
    return _reduce(each, weight, reduction, total)


def focal(
    logits: Float[Tensor, "B C i j k"],
    reference: Int64[Tensor, "B i j k"],
    weight: Float32[Tensor, "B i j k"],
    *,
    gamma: float,
    alpha: float,
    reduction: Reduction,
    total: Total = alone,
) -> Float32[Tensor, ""]:
    """Softmax focal loss, -alpha (1 - p)^gamma log p of the reference's class.

    Returns:
        Reduced as cross_entropy, which it is for gamma 0 and alpha 1.

    Source:
        Lin 2017, arXiv:1708.02002, equation 5, with softmax in place of a sigmoid.
    """
    each = _surprise(logits, reference)
    # 1 - p, exact for p near 1; above 0, where a gamma below 1 has no gradient.
    wrong = -torch.expm1(-each).clamp(max=-1e-7)
    return _reduce(alpha * wrong**gamma * each, weight, reduction, total)


def dice(
    logits: Float[Tensor, "B C i j k"],
    reference: Int64[Tensor, "B i j k"],
    weight: Float32[Tensor, "B i j k"],
    *,
    total: Total = alone,
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
    sizes = (probabilities.square() * mask).sum(axes) + volume
    sums = total(torch.stack([overlap, volume, sizes]))
    overlap, volume, sizes = sums[0], sums[1], sums[2]
    present = volume > 0
    score = 2 * overlap / torch.where(present, sizes, 1.0)
    return torch.where(present, 1 - score, 0.0).sum() / present.sum().clamp(min=1)
