"""Boxes by arithmetic and by MONAI's utilities; features in them by known functions."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from segpipe.networks.regions import (
    box_iou,
    clip,
    crop_masks,
    decode,
    encode,
    paste_mask,
    roi_align,
    suppress,
)


def draw_boxes(count: int, *, seed: int = 0, size: float = 40) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    start = size * torch.rand(count, 2, generator=generator)
    return torch.cat([start, start + 1 + 20 * torch.rand(count, 2)], dim=1)


def slope(height: int, width: int) -> Tensor:
    """x + 10 y at the pixel (y, x), one channel."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return (x + 10 * y).float()[None]


def test_the_iou_of_boxes_is_that_of_their_pixels() -> None:
    """Whole boxes, whose pixels can be counted: 8, 9, 4 and none of 16 and 9.

    Seeds: I1.
    """
    box = torch.tensor([[0.0, 0, 4, 4]])
    others = torch.tensor([[0.0, 2, 4, 6], [1, 1, 4, 4], [2, 2, 5, 5], [4, 0, 6, 4]])

    expected = torch.tensor([[8 / 24, 9 / 16, 4 / 21, 0]])
    torch.testing.assert_close(box_iou(box, others), expected)


def test_the_iou_of_points_is_0() -> None:
    point = torch.tensor([[3.0, 3, 3, 3]])

    assert box_iou(point, point).tolist() == [[0]]


def test_a_worse_box_goes_where_a_better_one_of_its_class_covers_it() -> None:
    """By hand: the IoU of the first two is 81 / 119, of both with the third 0.

    Seeds: I1.
    """
    boxes = torch.tensor(
        [[0.0, 0, 10, 10], [1, 1, 11, 11], [20, 20, 30, 30], [1, 1, 11, 11]]
    )
    scores = torch.tensor([0.6, 0.9, 0.3, 0.5])
    classes = torch.tensor([0, 0, 0, 1])

    assert suppress(boxes, scores, iou=0.5).tolist() == [1, 2]
    assert suppress(boxes, scores, iou=0.7).tolist() == [1, 0, 2]
    assert suppress(boxes, scores, iou=0.5, groups=classes).tolist() == [1, 3, 2]
    assert suppress(boxes, scores, iou=0.5, groups=classes, most=2).tolist() == [1, 3]
    assert suppress(boxes[:0], scores[:0], iou=0.5).tolist() == []


def test_boxes_and_their_suppression_are_those_of_monai() -> None:
    """There are more boxes than are compared at once.

    Seeds: I1.
    """
    theirs = pytest.importorskip("monai.data.box_utils")
    boxes = draw_boxes(700, size=90)
    scores = torch.rand(700, generator=torch.Generator().manual_seed(1))
    classes = torch.arange(700) % 3

    torch.testing.assert_close(box_iou(boxes, boxes), theirs.box_iou(boxes, boxes))
    for iou in (0.1, 0.5):
        expected = theirs.non_max_suppression(boxes, scores, iou)
        assert torch.equal(suppress(boxes, scores, iou=iou), expected)
        expected = theirs.batched_nms(boxes, scores, classes, iou)
        found = suppress(boxes, scores, iou=iou, groups=classes)
        assert torch.equal(found, expected)


def test_steps_to_a_box_are_its_centre_and_its_size() -> None:
    """By hand: the centre moves by 1/2 and 1/4 of the sizes, which double and halve.

    Seeds: I1.
    """
    anchor = torch.tensor([[0.0, 0, 4, 8]])
    box = torch.tensor([[-2.0, 4, 6, 8]])
    expected = torch.tensor([[0, 0.25, math.log(2), math.log(0.5)]])

    torch.testing.assert_close(encode(box, anchor), expected)
    torch.testing.assert_close(decode(expected, anchor), box)


def test_a_box_comes_back_from_its_steps() -> None:
    boxes, anchors = draw_boxes(50), draw_boxes(50, seed=1)

    torch.testing.assert_close(decode(encode(boxes, anchors), anchors), boxes)


def test_a_step_makes_no_box_more_than_62_times_as_large() -> None:
    """1000 / 16, in the public code.

    Seeds: I2.
    """
    found = decode(torch.tensor([[0.0, 0, 50, 1]]), torch.tensor([[0.0, 0, 16, 16]]))

    sides = (found[:, 2:] - found[:, :2])[0]
    torch.testing.assert_close(sides, torch.tensor([1000.0, 16 * math.e]))


def test_a_clipped_box_lies_in_the_image() -> None:
    boxes = torch.tensor([[-3.0, 2, 12, 30]])

    assert clip(boxes, (10, 20)).tolist() == [[0, 2, 10, 20]]


def test_bins_of_a_slope_are_its_values_at_their_centres() -> None:
    """The box (2, 3, 10, 11) in x and y: a bin's centre (3, 4) is the pixel (2.5, 3.5).

    Seeds: I2.
    """
    box = torch.tensor([[3.0, 2, 11, 10]])

    found = roi_align(slope(16, 16), box, bins=4)

    first, step = 37.5, torch.arange(4)
    expected = first + 20 * step[:, None] + 2 * step
    torch.testing.assert_close(found[0, 0], expected.float())


def test_a_constant_map_stays_constant_also_beyond_the_image() -> None:
    """Seeds: I2."""
    boxes = torch.tensor([[-5.0, -5, 9, 30], [3.3, 4.1, 5.7, 4.9]])

    found = roi_align(torch.full((2, 8, 9), 3.5), boxes, bins=7, stride=2)

    torch.testing.assert_close(found, torch.full((2, 2, 7, 7), 3.5))


def test_a_linear_map_is_exact_at_any_box_where_pooling_is_not() -> None:
    """RoIPool rounds the box and its bins to whole pixels.

    Seeds: I2.
    """
    i0, j0, i1, j1 = 3.3, 2.6, 12.9, 11.1
    box, bins = torch.tensor([[i0, j0, i1, j1]]), 7
    centre = (torch.arange(bins) + 0.5) / bins
    y = i0 + (i1 - i0) * centre - 0.5
    x = j0 + (j1 - j0) * centre - 0.5
    expected = x + 10 * y[:, None]

    found = roi_align(slope(16, 16), box, bins=bins)[0, 0]
    pooled = F.adaptive_max_pool2d(slope(16, 16)[:, 3:13, 3:11], bins)[0]

    torch.testing.assert_close(found, expected)
    assert (pooled - expected).abs().max() > 1


def test_regions_and_their_gradient_are_those_of_torchs_interpolation() -> None:
    """By ``grid_sample`` at each point, then the mean over the points of a bin.

    Seeds: I2.
    """
    generator = torch.Generator().manual_seed(2)
    features = torch.rand(3, 12, 10, generator=generator, dtype=torch.float64)
    features.requires_grad_()
    boxes = draw_boxes(5, size=20).double()
    offset = (torch.arange(8) + 0.5) / 8
    expected = []
    for i0, j0, i1, j1 in boxes.tolist():
        y = (i0 + (i1 - i0) * offset) / 4
        x = (j0 + (j1 - j0) * offset) / 4
        grid = torch.stack(
            torch.meshgrid(2 * x / 10 - 1, 2 * y / 12 - 1, indexing="xy")
        )
        taken = F.grid_sample(
            features[None],
            grid.permute(1, 2, 0)[None].double(),
            padding_mode="border",
            align_corners=False,
        )
        expected.append(F.avg_pool2d(taken, 2)[0])

    found = roi_align(features, boxes, bins=4, stride=4)

    torch.testing.assert_close(found, torch.stack(expected).float(), check_dtype=False)
    (found.square().sum() / 100).backward()
    own = features.grad.clone()
    features.grad = None
    (torch.stack(expected).square().sum() / 100).backward()
    torch.testing.assert_close(own, features.grad, atol=1e-5, rtol=1e-5)


def test_no_box_has_no_features_and_a_gradient_of_zeros() -> None:
    features = torch.rand(2, 6, 6, requires_grad=True)

    found = roi_align(features, torch.zeros(0, 4), bins=3)
    found.sum().backward()

    assert found.shape == (0, 2, 3, 3)
    assert features.grad is not None
    assert not features.grad.any()


def test_a_target_is_the_part_of_its_object_in_the_box() -> None:
    """The object fills the lower half of the box, and the right half of another.

    Seeds: I2.
    """
    ids = torch.full((20, 20), -1)
    ids[8:16, 4:12] = 0
    ids[0:4, 0:4] = 1
    boxes = torch.tensor([[4.0, 4, 12, 12], [8, 0, 16, 8], [4, 4, 12, 12]])

    found = crop_masks(ids, boxes, torch.tensor([0, 0, 1]), bins=4)

    lower = torch.tensor([[False] * 4] * 2 + [[True] * 4] * 2)
    assert torch.equal(found[0], lower)
    assert torch.equal(found[1], lower.T)
    assert not found[2].any()


def test_a_mask_is_pasted_at_the_pixels_of_its_box_and_nowhere_else() -> None:
    """The centres of pixels 3 to 8 lie in 2.6 to 9.4, those of 5 and 6 in 5 to 7.

    Seeds: I2.
    """
    start, values = paste_mask(
        torch.ones(28, 28), torch.tensor([2.6, 5.0, 9.4, 7.0]), (12, 20)
    )

    assert start == (3, 5)
    torch.testing.assert_close(values, torch.ones(6, 2))


def test_a_mask_that_leaves_the_image_is_cut() -> None:
    start, values = paste_mask(
        torch.ones(4, 4), torch.tensor([-3.0, 8, 3, 14]), (10, 10)
    )
    _, nothing = paste_mask(torch.ones(4, 4), torch.tensor([2.6, 2.6, 3.4, 9]), (9, 9))

    assert start == (0, 8)
    assert values.shape == (3, 2)
    assert nothing.shape == (0, 6)


def test_a_pasted_mask_is_torchs_bilinear_resize() -> None:
    mask = torch.from_numpy(np.random.default_rng(0).random((7, 7), np.float32))
    expected = F.interpolate(mask[None, None], (21, 14), mode="bilinear")[0, 0]

    _, values = paste_mask(mask, torch.tensor([2.0, 3, 23, 17]), (40, 40))

    torch.testing.assert_close(values, expected)
