"""Losses: (logits, reference, weight) -> scalar; voxels of weight 0 do not count.

B = batch, C = channels, the rest are the axes of the patch. The reference holds class
indices; where it is negative (not annotated) the weight must be 0. A channel is a class
(softmax); or, given a table ``truth``, a structure that may overlap others (sigmoid),
which is true where the table says it of the reference's class.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import torch
from jaxtyping import Bool, Float, Float32, Int64
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from segpipe.project.params import Params, is_off

Reduction = Literal["mean", "sum"]
Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
Total = Callable[[Tensor], Tensor]  # sum of one process -> sum over all processes
Truth = Bool[Tensor, "channel class"] | None


class LossParams(Params):
    """Section ``loss``.

    Attributes:
        name: Name of the loss; ``own`` is the one that a network brings, which no other
            can have.
        reduction: Reduction of voxel-wise losses: the weighted ``mean``, or the ``sum``
            as in U-Net's equation 1, with which the best learning rate depends on the
            patch size.
        focal_gamma: Exponent of focal: the higher, the less easy voxels count.
        focal_alpha: Factor of focal.
        kept_fraction: Share of the voxels that count in a step, drawn at random.
        deep_supervision: Whether the levels of a decoder below the first learn, too.
    """

    name: Literal["cross_entropy", "dice", "dice_cross_entropy", "focal", "own"]
    reduction: Reduction
    focal_gamma: float = Field(ge=0)
    focal_alpha: float = Field(gt=0)
    kept_fraction: float = Field(gt=0, le=1)
    # Never in the params of projects that were written before it.
    deep_supervision: bool = Field(False, exclude_if=is_off)


def alone(part: Tensor) -> Tensor:
    """The total of a single process: its own sum."""
    return part


def build_loss(params: LossParams, total: Total = alone, truth: Truth = None) -> Loss:
    """Build the loss of a section ``loss``; that which a network brings is not built.

    Args:
        params: The section.
        total: Turns the sums of this process into sums over all processes that share a
            batch.
        truth: Whether a structure (row) holds a class (column), if structures may
            overlap; None for classes.
    """
    overlap = partial(dice, total=total, truth=truth)
    if params.name == "dice":
        return overlap
    voxelwise = partial(
        cross_entropy, reduction=params.reduction, total=total, truth=truth
    )
    if params.name == "cross_entropy":
        return voxelwise
    if params.name == "focal":
        return partial(
            focal,
            gamma=params.focal_gamma,
            alpha=params.focal_alpha,
            reduction=params.reduction,
            total=total,
            truth=truth,
        )
    return lambda *batch: overlap(*batch) + voxelwise(*batch)


def supervise(
    loss: Loss,
    levels: Sequence[Float[Tensor, "B C ..."]],
    reference: Int64[Tensor, "B i j k"],
    weight: Float32[Tensor, "B i j k"],
) -> Float32[Tensor, ""]:
    """Deep supervision: the mean of a loss over the levels of a decoder.

    A level counts half as much as the one above it, and the lowest does not count
    unless it is alone. The reference and the weights of a level are the voxels nearest
    to the centres of its own: a level may see no annotated voxel, and its loss is 0.

    Args:
        loss: The loss of one level.
        levels: Logits of each level, the largest first, whose sizes divide the patch.
        reference: Class indices at the resolution of the patch.
        weight: Weight of each voxel there.

    Source:
        nnU-Net v2, ``DeepSupervisionWrapper`` and its weights in ``nnUNetTrainer``.
    """
    counting = levels[: max(1, len(levels) - 1)]
    cost, whole = torch.zeros((), device=weight.device), 0.0
    for number, logits in enumerate(counting):
        steps = [
            size // less
            for size, less in zip(weight.shape[1:], logits.shape[2:], strict=True)
        ]
        places = (slice(None), *(slice(step // 2, None, step) for step in steps))
        share = 0.5**number
        cost = cost + share * loss(logits, reference[places], weight[places])
        whole += share
    return cost / whole


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
    """Weighted sum, or weighted mean, which is 0 where all weights are 0.

    A voxel may have several costs (B n i j k), whose mean counts.
    """
    cost = total((each.mean(1) * weight).sum())
    if reduction == "sum":
        return cost
    weights = total(weight.sum())
    return cost / torch.where(weights > 0, weights, 1.0)


def _target(reference: Tensor, truth: Tensor) -> Tensor:
    """Whether each structure is true at each voxel (B channel i j k)."""
    table = truth.to(reference.device).T
    return table[reference.clamp(min=0)].movedim(-1, 1)


def _surprise(logits: Tensor, reference: Tensor, truth: Truth) -> Tensor:
    """-log p of the class of each voxel (B 1 i j k), or of each structure there.

    A structure has its own -log p or -log (1 - p), (B channel i j k). For classes it
    equals F.cross_entropy to the bit in half the time, and is deterministic on a GPU,
    where torch's NLLLoss is not.
    """
    if truth is not None:
        target = _target(reference, truth).float()
        return F.binary_cross_entropy_with_logits(
            logits.float(), target, reduction="none"
        )
    logarithms = F.log_softmax(logits.float(), dim=1)
    return -logarithms.gather(1, reference.clamp(min=0)[:, None])


def cross_entropy(
    logits: Float[Tensor, "B C i j k"],
    reference: Int64[Tensor, "B i j k"],
    weight: Float32[Tensor, "B i j k"],
    *,
    reduction: Reduction,
    total: Total = alone,
    truth: Truth = None,
) -> Float32[Tensor, ""]:
    """Pixel-weighted cross-entropy: softmax, or the mean of sigmoids of structures.

    Returns:
        sum(w * ce), or sum(w * ce) / sum(w), the weighted mean; 0 (with gradient 0) for
        a batch without any weight, where a plain mean would be NaN.

    Source:
        Ronneberger 2015, arXiv:1505.04597, section 3 (there a sum; the weighted mean
        keeps the learning rate independent of patch size and annotated share);
        Çiçek 2016, arXiv:1606.06650, section 2, for weight 0 where not annotated;
        nnU-Net v2, DC_and_BCE_loss, for structures that overlap.
    """
    each = _surprise(logits, reference, truth)
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
    truth: Truth = None,
) -> Float32[Tensor, ""]:
    """Focal loss, -alpha (1 - p)^gamma log p of what is true.

    Returns:
        Reduced like cross_entropy, which it equals for gamma 0 and alpha 1.

    Source:
        Lin 2017, arXiv:1708.02002, equation 5; for classes with softmax in place of a
        sigmoid.
    """
    each = _surprise(logits, reference, truth)
    # 1 - p, exact for p near 1; above 0, where the gradient is infinite for gamma < 1.
    wrong = -torch.expm1(-each).clamp(max=-1e-7)
    return _reduce(alpha * wrong**gamma * each, weight, reduction, total)


def dice(
    logits: Float[Tensor, "B C i j k"],
    reference: Int64[Tensor, "B i j k"],
    weight: Float32[Tensor, "B i j k"],
    *,
    total: Total = alone,
    truth: Truth = None,
) -> Float32[Tensor, ""]:
    """V-Net's Dice loss with squares, 1 - D, mean over the structures.

    D = 2 sum(p g) / (sum(p^2) + sum(g^2)), weighted sums over all voxels of the batch.
    A structure that is absent from the batch has no gradient in this form and is left
    out of the mean.

    Returns:
        From 0 to 1; 0 for a batch without weighted foreground.

    Source:
        Milletari 2016, arXiv:1606.04797, section 3; the mean over more than two classes
        is common use.
    """
    if truth is None:
        probabilities = logits.float().softmax(dim=1)[:, 1:]
        classes = torch.arange(1, logits.shape[1], device=logits.device)
        target = reference[:, None] == classes[None, :, None, None, None]
    else:
        probabilities = logits.float().sigmoid()
        target = _target(reference, truth)
    axes, mask = (0, 2, 3, 4), weight[:, None]
    overlap = (probabilities * target * mask).sum(axes)
    volume = (target * mask).sum(axes)
    sizes = (probabilities.square() * mask).sum(axes) + volume
    sums = total(torch.stack([overlap, volume, sizes]))
    overlap, volume, sizes = sums[0], sums[1], sums[2]
    present = volume > 0
    score = 2 * overlap / torch.where(present, sizes, 1.0)
    return torch.where(present, 1 - score, 0.0).sum() / present.sum().clamp(min=1)
