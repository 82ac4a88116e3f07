"""The heads of Mask R-CNN by the sizes of the paper, and what their masks learn."""

import pytest
import torch
from torch.nn import functional as F

from segpipe.networks.heads import (
    BOX_BINS,
    MASK_BINS,
    BoxHead,
    MaskHead,
    ProposalHead,
    mask_cross_entropy,
)


def test_heads_have_the_sizes_of_the_paper() -> None:
    """14 x 14 x 256 become K masks of 28 x 28; 7 x 7 become classes and boxes.

    Seeds: I2.
    """
    with torch.device("meta"):
        masks = MaskHead(256, 80)(torch.zeros(3, 256, MASK_BINS, MASK_BINS))
        kinds, steps = BoxHead(256, 80, 1024)(torch.zeros(3, 256, BOX_BINS, BOX_BINS))
        scores, moves = ProposalHead(256, 3)(torch.zeros(2, 256, 5, 4))

    assert masks.shape == (3, 80, 28, 28)
    assert (kinds.shape, steps.shape) == ((3, 81), (3, 80, 4))
    assert (scores.shape, moves.shape) == ((2, 60), (2, 60, 4))


def test_proposals_come_in_the_order_of_the_anchors() -> None:
    """The second anchor at (1, 2) of 3 x 4 features is number (1 * 4 + 2) * 2 + 1."""
    head = ProposalHead(2, 2)
    for part in (head.hidden, head.score, head.step):
        torch.nn.init.zeros_(part.weight)
        torch.nn.init.zeros_(part.bias)
    head.hidden.weight.data[0, 0, 1, 1] = 1
    head.score.weight.data[1, 0] = 1
    head.step.weight.data[6, 0] = 1
    features = torch.zeros(1, 2, 3, 4)
    features[0, 0, 1, 2] = 5

    scores, steps = head(features)

    assert scores.nonzero().tolist() == [[0, 13]]
    assert steps.nonzero().tolist() == [[0, 13, 2]]


def test_only_the_mask_of_a_regions_own_class_learns() -> None:
    """The mean of -log p over the own masks, by torch; the third region has no object.

    Seeds: I2, L6.
    """
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 4, 5, 5, generator=generator, requires_grad=True)
    masks = torch.rand(3, 5, 5, generator=generator) < 0.5
    own = torch.stack([logits[0, 2], logits[1, 0]])
    expected = F.binary_cross_entropy(own.sigmoid(), masks[:2].float())

    cost = mask_cross_entropy(logits, masks, torch.tensor([2, 0, -1]))
    cost.backward()

    assert cost.item() == pytest.approx(expected.item(), rel=1e-5)
    assert logits.grad is not None
    learned = logits.grad.abs().sum((2, 3)) > 0
    assert learned.nonzero().tolist() == [[0, 2], [1, 0]]


def test_without_an_object_no_mask_learns() -> None:
    logits = torch.randn(2, 3, 4, 4, requires_grad=True)
    none = torch.tensor([-1, -1])

    cost = mask_cross_entropy(logits, torch.zeros(2, 4, 4, dtype=torch.bool), none)
    cost.backward()

    assert cost.item() == 0
    assert logits.grad is not None
    assert not logits.grad.any()
