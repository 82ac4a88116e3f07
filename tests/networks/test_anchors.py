"""Anchors by hand; objects that are known, and those that are not."""

import torch

from segpipe.networks.anchors import (
    BACKGROUND,
    BETWEEN,
    Objects,
    draw,
    find_objects,
    lay_anchors,
    match,
)


def test_anchors_lie_at_the_centres_of_features_with_one_area_and_three_ratios() -> (
    None
):
    """Seeds: I2."""
    found = lay_anchors((2, 3), stride=4, scale=16.0, ratios=(0.25, 1.0, 4.0))

    assert found.shape == (2 * 3 * 3, 4)
    assert found[:3].tolist() == [
        [2 - 4, 2 - 16, 2 + 4, 2 + 16],
        [2 - 8, 2 - 8, 2 + 8, 2 + 8],
        [2 - 16, 2 - 4, 2 + 16, 2 + 4],
    ]
    centres = (found[1::3, :2] + found[1::3, 2:]) / 2
    expected = [[2, 2], [2, 6], [2, 10], [6, 2], [6, 6], [6, 10]]
    assert centres.tolist() == expected


def test_the_components_of_each_class_are_objects_with_boxes() -> None:
    """Two touch at a corner only, two of different classes touch.

    Seeds: I2.
    """
    reference = torch.zeros(12, 12, dtype=torch.int64)
    reference[1:4, 1:3] = 1
    reference[4:7, 3:6] = 1
    reference[7:9, 3:6] = 2

    found = find_objects(reference, torch.ones(12, 12, dtype=torch.bool))

    assert found.boxes.tolist() == [[1, 1, 4, 3], [4, 3, 7, 6], [7, 3, 9, 6]]
    assert found.classes.tolist() == [1, 1, 2]
    for number, count in enumerate((6, 9, 6)):
        assert (found.ids == number).sum() == count
    assert (found.ids == BACKGROUND).sum() == 144 - 21


def test_an_object_beside_what_is_not_known_is_not_known() -> None:
    """Nor is one that is a pixel thin; the far one is."""
    reference = torch.zeros(12, 12, dtype=torch.int64)
    reference[0:4, 0:4], reference[6, 2:9], reference[8:11, 8:11] = 1, 1, 1
    known = torch.ones(12, 12, dtype=torch.bool)
    known[4:6, 0:4] = False

    found = find_objects(reference, known)

    assert found.boxes.tolist() == [[8, 8, 11, 11]]
    assert (found.ids[0:6, 0:4] == BETWEEN).all()
    assert (found.ids[6, 2:9] == BETWEEN).all()


def of(boxes: list[list[float]], ids: torch.Tensor) -> Objects:
    classes = torch.ones(len(boxes), dtype=torch.int64)
    return Objects(torch.tensor(boxes).view(-1, 4), classes, ids)


def test_a_box_shows_what_its_iou_says() -> None:
    """IoU with the object: 1, 0.6, 0.4 and 0, by the rules of both stages."""
    nowhere = torch.full((40, 40), BACKGROUND)
    objects = of([[0.0, 0, 10, 10]], nowhere)
    boxes = torch.tensor(
        [[0.0, 0, 10, 10], [0, 0, 6, 10], [0, 0, 4, 10], [20, 20, 30, 30]]
    )

    region = match(boxes, objects, background=0.5, positive=0.5, rescue=False)
    anchor = match(boxes, objects, background=0.3, positive=0.7, rescue=True)
    rescued = match(boxes[2:], objects, background=0.5, positive=0.7, rescue=True)

    assert region.tolist() == [0, 0, BACKGROUND, BACKGROUND]
    assert anchor.tolist() == [0, BETWEEN, BETWEEN, BACKGROUND]
    assert rescued.tolist() == [0, BACKGROUND]


def test_a_box_on_what_is_not_known_is_no_background() -> None:
    """Six of its ten columns are not known, then four."""
    ids = torch.full((40, 40), BACKGROUND)
    ids[:, :6] = BETWEEN
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 2, 10, 12], [-20, -20, -9, -9]])

    found = match(boxes, of([], ids), background=0.3, positive=0.7, rescue=True)

    assert found.tolist() == [BETWEEN, BACKGROUND, BACKGROUND]


def test_three_of_four_regions_show_background_and_few_objects_leave_more_to_it() -> (
    None
):
    """He 2017, section 3.1: 1 to 3.

    Seeds: I2.
    """
    shown = torch.tensor([3] * 100 + [BACKGROUND] * 400 + [BETWEEN] * 50)
    chance = torch.Generator().manual_seed(0)

    positive, negative = draw(shown, count=64, share=0.25, generator=chance)
    assert (len(positive), len(negative)) == (16, 48)
    assert (shown[positive] == 3).all()
    assert (shown[negative] == BACKGROUND).all()
    assert len(positive.unique()) == 16

    positive, negative = draw(shown[95:], count=64, share=0.25, generator=chance)
    assert (len(positive), len(negative)) == (5, 59)
