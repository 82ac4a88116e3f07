"""What Mask R-CNN learns from, by the numbers of the papers and by hand."""

import math

import pytest
import torch
from torch import Tensor

from segpipe.networks.anchors import BACKGROUND, Objects
from segpipe.networks.objectives import (
    Learned,
    choose,
    mask_costs,
    proposal_costs,
    region_costs,
)
from segpipe.networks.proposals import Seen


def square(side: int, *, kind: int = 1, size: int = 64) -> Objects:
    """One object in the first corner of an image."""
    ids = torch.full((size, size), BACKGROUND)
    ids[:side, :side] = 0
    box = torch.tensor([[0.0, 0, side, side]])
    return Objects(box, torch.tensor([kind]), ids)


def chance() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def seen_of(anchors: Tensor, steps: Tensor) -> Seen:
    none = torch.zeros(len(anchors), dtype=torch.int64)
    return Seen([], torch.zeros(1, len(anchors)), steps[None], anchors, none, (64, 64))


def test_128_regions_are_learned_of_which_a_fourth_show_an_object() -> None:
    """He 2017, section 3.1: 1 to 3, by an IoU of 0.5.

    Seeds: I2.
    """
    inside = torch.tensor([[0.0, 0, 10, 5]]).repeat(100, 1)
    outside = torch.tensor([[0.0, 0, 10, 4.9]]).repeat(300, 1)

    found = choose(torch.cat([outside, inside]), square(10, kind=2), chance())

    assert found.positives == 32
    assert found.classes.tolist() == [2] * 32 + [0] * 96
    assert torch.equal(found.boxes, torch.cat([inside[:32], outside[:96]]))


def test_goals_have_the_weights_of_the_public_code_and_masks_28_pixels() -> None:
    """Weights (10, 10, 5, 5): the centre is half a size off, and the size doubles.

    Seeds: I2.
    """
    found = choose(torch.tensor([[0.0, 0, 10, 5]]), square(10), chance())

    expected = torch.tensor([[0.0, 10 * 0.5, 0.0, 5 * math.log(2)]])
    torch.testing.assert_close(found.goals, expected)
    assert found.masks.shape == (1, 28, 28)
    assert found.masks.all()


def test_256_anchors_are_learned_of_which_at_most_half_show_an_object() -> None:
    """Ren 2015, section 3.1.3; an even score costs log 2, a step of 1 costs 1 - 1/18.

    The first coordinate of the step is wrong for those that show the object.

    Seeds: I2.
    """
    inside = torch.tensor([[0.0, 0, 10, 7.1]]).repeat(200, 1)
    between = torch.tensor([[0.0, 0, 10, 6.9], [0, 0, 10, 3.1]])
    outside = torch.tensor([[0.0, 0, 10, 2.9]]).repeat(200, 1)
    anchors = torch.cat([inside, between, outside])
    goal = torch.tensor([1.0, (10 - 7.1) / 2 / 7.1, 0.0, math.log(10 / 7.1)])
    whole = torch.tensor([[0.0, 0, 10, 10]])

    seen = seen_of(torch.cat([whole, anchors]), goal.expand(403, 4).contiguous())
    found = proposal_costs(seen, 0, square(10), chance())
    few = proposal_costs(
        seen_of(anchors[200:], goal.expand(202, 4).contiguous()),
        0,
        square(10),
        chance(),
    )

    assert found[[1, 3]].tolist() == [256, 256]
    assert found[0].item() == pytest.approx(256 * math.log(2))
    assert found[2].item() == pytest.approx(128 * (1 - 1 / 18), rel=0.02)
    assert few[1].item() == 201  # an anchor of the highest IoU, and all background
    assert few[0].item() == pytest.approx(201 * math.log(2))


def test_without_an_object_all_anchors_that_are_learned_are_background() -> None:
    nothing = Objects(
        torch.zeros(0, 4),
        torch.zeros(0, dtype=torch.int64),
        torch.full((64, 64), BACKGROUND),
    )
    anchors = torch.tensor([[0.0, 0, 8, 8]]).repeat(300, 1)

    found = proposal_costs(seen_of(anchors, torch.ones(300, 4)), 0, nothing, chance())

    assert found[[1, 2, 3]].tolist() == [256, 0, 256]


def learned(classes: list[int], goal: float = 0.0) -> Learned:
    """Regions of these classes, those with an object first; their masks are full."""
    positives = sum(kind > 0 for kind in classes)
    return Learned(
        torch.zeros(len(classes), 4),
        positives,
        torch.tensor(classes),
        torch.full((positives, 4), goal),
        torch.ones(positives, 28, 28, dtype=torch.bool),
    )


def test_regions_cost_the_logarithm_of_their_class_and_the_step_to_its_box() -> None:
    """Three even classes; the step of the own class is 2 off in four coordinates.

    Others are far off, and do not count.

    Seeds: I2.
    """
    steps = torch.full((3, 2, 4), 100.0)
    steps[0, 1] = 2

    found = region_costs(torch.zeros(3, 3), steps, [learned([2, 0]), learned([0])])

    cost = 4 * (2 - 1 / 18)
    torch.testing.assert_close(found, torch.tensor([3 * math.log(3), 3, cost, 3]))


def test_masks_cost_a_cross_entropy_for_each_pixel_of_their_class() -> None:
    """Seeds: I2, L6."""
    logits = torch.full((2, 3, 28, 28), -50.0)
    logits[0, 2] = logits[1, 0] = 0

    found = mask_costs(logits, [learned([3, 0]), learned([1])])

    pixels = 2.0 * 28 * 28
    torch.testing.assert_close(found, torch.tensor([pixels * math.log(2), pixels]))
