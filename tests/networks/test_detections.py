"""Detections of heads whose answers are set by hand."""

import math

import pytest
import torch
from torch import Tensor

from segpipe.networks.detections import detect
from segpipe.networks.fpn import Pyramid
from segpipe.networks.heads import BoxHead, MaskHead
from segpipe.networks.proposals import Seen

SIZE = 64


def seen_of(boxes: Tensor) -> Seen:
    """What is seen where each box is an anchor, the first the likeliest."""
    sides = [SIZE // stride for stride in Pyramid.strides]
    return Seen(
        [torch.zeros(1, 1, side, side) for side in sides],
        torch.arange(float(len(boxes))).flip(0)[None],
        torch.zeros(1, len(boxes), 4),
        boxes,
        torch.zeros(len(boxes), dtype=torch.int64),
        (SIZE, SIZE),
    )


def heads(
    shares: tuple[float, ...], masks: tuple[float, ...]
) -> tuple[BoxHead, MaskHead]:
    """Heads that say the same of each region.

    Args:
        shares: Probability of background and each class.
        masks: Logit of each pixel of the mask of each class.
    """
    box, mask = BoxHead(1, len(masks), 1), MaskHead(1, len(masks))
    for weights in (*box.parameters(), *mask.parameters()):
        torch.nn.init.zeros_(weights)
    box.kind.bias.data = torch.tensor(shares).log()
    last = mask.layers[-1]
    assert isinstance(last, torch.nn.Conv2d)
    assert last.bias is not None
    last.bias.data = torch.tensor(masks)
    return box, mask


@torch.no_grad()
def shares_of(boxes: Tensor, *how: tuple[float, ...]) -> Tensor:
    box, mask = heads(*how)
    return detect(seen_of(boxes), 0, box, mask).softmax(0)


def test_the_mask_of_the_likeliest_class_fills_its_box_and_no_other_mask_counts() -> (
    None
):
    """He 2017, section 3.1: the k-th mask, of half a pixel and more.

    Seeds: I2.
    """
    box = torch.tensor([[10.0, 20, 30, 50]])

    found = shares_of(box, (0.1, 0.2, 0.7), (9.0, 0.0))
    none = shares_of(box, (0.1, 0.2, 0.7), (9.0, -0.1))

    inside = torch.zeros(SIZE, SIZE, dtype=torch.bool)
    inside[10:30, 20:50] = True
    assert torch.equal(found.argmax(0) == 2, inside)
    torch.testing.assert_close(
        found[2][inside], torch.full((600,), 0.7), rtol=1e-3, atol=0
    )
    assert not none.argmax(0).any()


def test_one_of_two_detections_stays_where_they_share_more_than_half() -> None:
    """The IoU of the first with the second is 0.6, that with the third 0.4.

    What two share is had by the surer one; equal ones come in their order.

    Seeds: I2.
    """
    boxes = torch.tensor([[10.0, 10, 30, 30], [10, 10, 22, 30], [22, 10, 42, 30]])

    both = shares_of(boxes[:2], (0.1, 0.9), (9.0,)).argmax(0)
    apart = shares_of(boxes[[0, 2]], (0.1, 0.9), (9.0,)).argmax(0)

    assert both.sum() == 400
    assert apart.sum() == 400 + 12 * 20 - 2 * 20  # a line on both sides


def test_a_hundred_detections_stay() -> None:
    """There are 144 squares of 4 x 4 pixels that lie apart (He 2017, section 3.1).

    Seeds: I2.
    """
    i, j = torch.meshgrid(torch.arange(12), torch.arange(12), indexing="ij")
    start = 5.0 * torch.stack([i.flatten(), j.flatten()], dim=1)

    found = shares_of(torch.cat([start, start + 4], dim=1), (0.1, 0.9), (9.0,)).argmax(
        0
    )

    assert found.sum() == 100 * 16


@pytest.mark.parametrize(("share", "counts"), [(0.04, False), (0.06, True)])
def test_a_score_of_a_twentieth_speaks_for_a_class(share: float, counts: bool) -> None:
    """Below one half it makes no object, but its probability is kept."""
    box = torch.tensor([[10.0, 10, 30, 30]])

    found = shares_of(box, (1 - share, share), (math.inf,))

    assert not found.argmax(0).any()
    assert bool(found[1].max() > 0.01) == counts
