"""What becomes of images when they are imported."""

import numpy as np
import pytest

from segpipe.images.grid import Grid
from segpipe.tools.importing.conversion import (
    ImportOptions,
    drop_redundant_channels,
    grid_with_spacing,
)

OPTIONS = ImportOptions()
GREY = ImportOptions(grey=True)


def image(*channels: float) -> np.ndarray:
    return np.stack([np.full((2, 2, 1), value, np.float32) for value in channels])


@pytest.mark.parametrize(
    ("channels", "keep_alpha", "kept"),
    [
        ((1.0, 2.0, 3.0), False, 3),
        ((1.0, 2.0, 3.0, 255.0), False, 3),
        ((1.0, 2.0, 3.0, 255.0), True, 4),
        ((1.0, 255.0), False, 1),
        ((1.0,), False, 1),
    ],
)
def test_an_alpha_that_says_nothing_goes(
    channels: tuple[float, ...], keep_alpha: bool, kept: int
) -> None:
    assert len(drop_redundant_channels(image(*channels), keep_alpha, OPTIONS)) == kept


def test_colours_become_grey_only_if_told() -> None:
    equal, other = image(5.0, 5.0, 5.0), image(5.0, 5.0, 6.0)

    assert len(drop_redundant_channels(equal, False, OPTIONS)) == 3
    assert len(drop_redundant_channels(equal, False, GREY)) == 1
    assert drop_redundant_channels(other, False, OPTIONS) is other
    found = drop_redundant_channels(other, False, GREY)
    assert (found == 5).all()  # .299 * 5 + .587 * 5 + .114 * 6, rounded
    assert len(found) == 1


def test_a_spacing_is_given_only_to_what_has_none() -> None:
    without = Grid.from_spacing((4, 4, 1), (1.0, 1.0, 1.0), "px")
    own = Grid.from_spacing((4, 4, 4), (2.0, 2.0, 2.0), "mm")

    placed = grid_with_spacing(without, (0.5, 0.25))
    assert (placed.spacing, placed.unit) == ((0.5, 0.25, 1.0), "mm")
    assert grid_with_spacing(own, (0.5, 0.25, 1.0)) is own
    assert grid_with_spacing(without, None) is without
