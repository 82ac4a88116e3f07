"""Proposals by the numbers of the papers, and by hand."""

import math

import pytest
import torch
from torch import Tensor

from segpipe.networks.fpn import Pyramid
from segpipe.networks.heads import ProposalHead
from segpipe.networks.proposals import Seen, pool, propose, scaled, see


def seen_of(
    anchors: Tensor, scores: Tensor, *, level_of: Tensor | None = None, size: int = 256
) -> Seen:
    """What is seen where each anchor is the box itself; level n has the feature n."""
    levels = [
        torch.full((1, 1, size // stride, size // stride), float(level))
        for level, stride in enumerate(Pyramid.strides)
    ]
    level = torch.zeros(len(anchors), dtype=torch.int64)
    return Seen(
        levels,
        scores[None],
        torch.zeros(1, len(anchors), 4),
        anchors,
        level if level_of is None else level_of,
        (size, size),
    )


def test_each_of_five_levels_has_one_scale_and_three_ratios() -> None:
    """Lin 2017, section 4.1: 32 to 512 pixels; here images are a fourth as large.

    Seeds: I2.
    """
    with torch.no_grad():
        seen = see(torch.zeros(1, 1, 64, 64), Pyramid(1, 1), ProposalHead(4, 3))

    for level, side in enumerate((32 / 4, 64 / 4, 128 / 4, 256 / 4, 512 / 4)):
        own = seen.anchors[seen.level_of == level]
        sides = own[:, 2:] - own[:, :2]
        assert len(own) == 3 * (32 // 2**level) ** 2
        torch.testing.assert_close(sides.prod(1).sqrt(), torch.full((len(own),), side))
        ratios = (sides[:, 0] / sides[:, 1]).view(-1, 3)
        torch.testing.assert_close(
            ratios, torch.tensor([[0.5, 1, 2]]).expand_as(ratios)
        )
    assert seen.scores.shape == (1, len(seen.anchors))


def test_a_proposal_goes_where_a_likelier_one_of_its_level_covers_more_than_0_7() -> (
    None
):
    """The IoU with the first: 0.8, 0.6, and 1 in another level (Ren 2015, 3.3).

    Seeds: I2.
    """
    anchors = torch.tensor(
        [[0.0, 0, 10, 10], [0, 0, 8, 10], [0, 0, 6, 10], [0, 0, 10, 10]]
    )
    level_of = torch.tensor([0, 0, 0, 1])

    found = propose(seen_of(anchors, torch.arange(4.0).flip(0), level_of=level_of), 0)

    assert torch.equal(found, anchors[[0, 2, 3]])


def test_the_likeliest_proposals_stay_clipped_and_none_is_below_a_pixel() -> None:
    """500 of 600 that lie apart; then one beyond the image, and one too thin."""
    i, j = torch.meshgrid(torch.arange(30), torch.arange(20), indexing="ij")
    start = 8.0 * torch.stack([i.flatten(), j.flatten()], dim=1)
    apart = torch.cat([start, start + 4], dim=1)
    scores = torch.arange(600.0).flip(0)
    odd = torch.tensor([[-5.0, -5, 5, 5], [9.0, 9, 9.5, 19]])

    assert torch.equal(propose(seen_of(apart, scores), 0), apart[:500])
    assert propose(seen_of(odd, scores[:2]), 0).tolist() == [[0, 0, 5, 5]]


@pytest.mark.parametrize("side", [5.0, 27.9, 28.0, 55.9, 56.0, 111.0, 113.0, 250.0])
def test_a_box_is_seen_at_the_level_of_its_size(side: float) -> None:
    """Lin 2017, equation 1: floor(4 + log2(side / 224)), of levels 2 to 5.

    In images of a fourth of the size, 224 is 56.

    Seeds: I2.
    """
    box = torch.tensor([[0.0, 0, side, side]])
    level = min(max(math.floor(4 + math.log2(side / 56)), 2), 5)

    found = pool(seen_of(box, torch.zeros(1)), 0, box, 7)

    torch.testing.assert_close(found, torch.full((1, 1, 7, 7), float(level - 2)))


def test_features_come_in_the_order_of_the_boxes() -> None:
    boxes = torch.tensor([[0.0, 0, side, side] for side in (120, 20, 60, 30)])

    found = pool(seen_of(boxes, torch.zeros(4)), 0, boxes, 2)

    assert found[:, 0, 0, 0].tolist() == [3, 0, 2, 1]


def test_larger_images_have_more_and_smaller_ones_not_fewer() -> None:
    assert [scaled(500, (side, side)) for side in (64, 256, 512)] == [500, 500, 2000]
    assert scaled(100, (256, 257)) == 101
