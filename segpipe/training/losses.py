"""Losses: (logits, reference, weight) -> scalar; voxels of weight 0 do not count.

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
Total = Callable[[Tensor], Tensor]  # sum of one process -> sum over all processes


class LossParams(Params):
    """Section ``loss``.

    Attributes:
        name: Name of the loss.
        reduction: Reduction of voxel-wise losses: the weighted ``mean``, or the ``sum``
            as in U-Net's equation 1, with which the best learning rate depends on the
            patch size.
        focal_gamma: Exponent of focal: the higher, the less easy voxels count.
        focal_alpha: Factor of focal.
        kept_fraction: Share of the voxels that count in a step, drawn at random.
    """

    name: Literal["cross_entropy", "dice", "dice_cross_entropy", "focal"]
    reduction: Reduction
    focal_gamma: float = Field(ge=0)
    focal_alpha: float = Field(gt=0)
    kept_fraction: float = Field(gt=0, le=1)


def alone(part: Tensor) -> Tensor:
    """The total of a single process: its own sum."""
    return part


def build_loss(params: LossParams, total: Total = alone) -> Loss:
    """Build the loss of a section ``loss``.

    Args:
        params: The section.
        total: Turns the sums of this process into sums over all processes that share a
            batch.
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
    """Set weights to 0 at random and divide the others by the share that is kept.

    Args:
        weight: Weight of each voxel.
        kept_fraction: Probability that a voxel is kept; 1 changes nothing.
        generators: One generator for each patch, on the CPU: the same state keeps the
            same voxels on every device.

    Source:
        Shelhamer 2017, arXiv:1605.06211, section 4.3 (loss sampling).
    """
    if kept_fraction == 1:
        return weight
    shape = weight.shape[1:]
    drawn = torch.stack([torch.rand(shape, generator=chance) for chance in generators])
    return weight * (drawn < kept_fraction).to(weight.device) / kept_fraction


def _reduce(each: Tensor, weight: Tensor, reduction: Reduction, total: Total) -> Tensor:
    """Weighted sum, or weighted mean, which is 0 where all weights are 0."""
    cost = total((each * weight).sum())
    if reduction == "sum":
        return cost
    weights = total(weight.sum())
    return cost / torch.where(weights > 0, weights, 1.0)


def _surprise(logits: Tensor, reference: Tensor) -> Tensor:
    """-log p of the reference class of each voxel.

    It equals F.cross_entropy to the bit in half the time, and is deterministic on a
    GPU, where torch's NLLLoss is not.
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
        sum(w * ce), or sum(w * ce) / sum(w), the weighted mean; 0 (with gradient 0) for
        a batch without any weight, where a plain mean would be NaN.

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
    """Softmax focal loss, -alpha (1 - p)^gamma log p of the reference class.

    Returns:
        Reduced like cross_entropy, which it equals for gamma 0 and alpha 1.

    Source:
        Lin 2017, arXiv:1708.02002, equation 5, with softmax in place of a sigmoid.
    """
    each = _surprise(logits, reference)
    # 1 - p, exact for p near 1; above 0, where the gradient is infinite for gamma < 1.
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

    D = 2 sum(p g) / (sum(p^2) + sum(g^2)), weighted sums over all voxels of the batch.
    A class that is absent from the batch has no gradient in this form and is left out
    of the mean.

    Returns:
        From 0 to 1; 0 for a batch without weighted foreground.

    Source:
        Milletari 2016, arXiv:1606.04797, section 3; the mean over more than two classes
        is common use.
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
