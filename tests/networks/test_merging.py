"""The merge of scored masks, by hand."""

import torch
from torch import Tensor

from segpipe.images.borders import separate_touching
from segpipe.networks.merging import Found, lay_scores, lines_within, merge


def rectangle(i: slice, j: slice, *, size: int = 10) -> Tensor:
    mask = torch.zeros(size, size, dtype=torch.bool)
    mask[i, j] = True
    return mask


def whole(mask: Tensor, score: float, kind: int = 1) -> Found:
    return Found(kind, score, (0, 0), mask)


NO_STUFF = torch.zeros(10, 10, dtype=torch.int64)


def test_the_surer_one_has_what_two_share() -> None:
    """Columns 0 to 5 and 4 to 9: the second of the list is surer.

    Seeds: I3.
    """
    left, right = (rectangle(slice(2, 6), slice(*ends)) for ends in ((0, 6), (4, 10)))

    classes, ids = merge([whole(left, 0.6, 2), whole(right, 0.9)], NO_STUFF)

    assert ids[3].tolist() == [1] * 4 + [2] * 6
    assert classes[3].tolist() == [2] * 4 + [1] * 6
    assert int((ids > 0).sum()) == 4 * 10


def test_what_others_have_mostly_taken_is_left_out() -> None:
    """Half of it is enough to stay, more is not.

    Seeds: I3.
    """
    first = whole(rectangle(slice(0, 4), slice(0, 4)), 0.9)
    half = whole(rectangle(slice(0, 4), slice(2, 6)), 0.8)
    more = whole(rectangle(slice(0, 4), slice(1, 5)), 0.8)

    assert merge([first, half], NO_STUFF)[1][0].tolist() == [1] * 4 + [2] * 2 + [0] * 4
    assert merge([first, more], NO_STUFF)[1][0].tolist() == [1] * 4 + [0] * 6


def test_an_unsure_one_and_an_empty_one_are_left_out() -> None:
    """Seeds: I3."""
    unsure = whole(rectangle(slice(0, 4), slice(0, 4)), 0.49)
    empty = whole(torch.zeros(10, 10, dtype=torch.bool), 0.9)

    classes, ids = merge([unsure, empty], NO_STUFF)

    assert not classes.any()
    assert not ids.any()


def test_stuff_has_what_instances_leave_unless_it_is_too_little() -> None:
    """The instance has 16 of 100 pixels; class 5 keeps 50 - 8, class 6 a row of 4.

    Seeds: I3.
    """
    stuff = NO_STUFF.clone()
    stuff[:, :5], stuff[9, 6:] = 5, 6
    instance = whole(rectangle(slice(0, 4), slice(3, 7)), 0.7)

    classes, ids = merge([instance], stuff, smallest_stuff=5)

    assert int((classes == 5).sum()) == 50 - 8
    assert int((classes == 1).sum()) == 16
    assert not (classes == 6).any()
    assert not ids[stuff == 6].any()
    assert (ids[classes == 5] == 0).all()


def test_a_mask_in_a_box_is_the_mask_of_the_whole_image() -> None:
    mask = rectangle(slice(2, 6), slice(3, 8))
    boxed = Found(1, 0.8, (2, 3), mask[2:6, 3:8])

    assert torch.equal(
        merge([boxed], NO_STUFF)[1], merge([whole(mask, 1.0)], NO_STUFF)[1]
    )


def test_lines_are_those_that_weigh_draws_between_instances_of_a_class() -> None:
    """Two of a class touch along an oblique border, a third has another class."""
    i, j = torch.meshgrid(torch.arange(10), torch.arange(10), indexing="ij")
    ids = torch.where(i + j < 9, 1, 2)
    ids[:, 8:] = 3
    classes = torch.where(ids == 3, 2, 1)

    expected = separate_touching(
        torch.where(ids == 3, 0, ids).int().numpy()[..., None], dimensions=2
    )[..., 0]
    lines = lines_within(classes, ids)

    assert torch.equal(lines, (ids < 3) & torch.from_numpy(expected == 0))
    assert lines.any()


def test_an_instance_has_its_score_and_lines_and_the_rest_are_background() -> None:
    left = whole(rectangle(slice(0, 10), slice(0, 4)), 0.9)
    right = whole(rectangle(slice(0, 10), slice(4, 8)), 0.5)
    evidence = torch.full((2, 10, 10), 0.8)

    shares = lay_scores([left, right], evidence)

    row = torch.tensor([0.9] * 3 + [0.0] * 2 + [0.51] * 3 + [0.49] * 2)
    torch.testing.assert_close(shares[0, 5], row)
    other = torch.tensor([0.0] * 8 + [0.49] * 2)
    torch.testing.assert_close(shares[1, 5], other)
