import math

import numpy as np

from segpipe.familiarity import warn_of_grid, warn_of_intensities
from segpipe.grid import Grid
from tests.segmenters import make_plan

PLAN = make_plan(shape=(40, 60, 80), spacing=(1.0, 1.0, 2.0))


def test_an_image_like_the_trainings_is_worth_no_word() -> None:
    grid = Grid.from_spacing((38, 66, 75), (1.0, 0.95, 2.1), "mm")

    assert warn_of_grid(grid, PLAN) == []
    assert warn_of_intensities([0.3], PLAN) == []


def test_spacing_and_extent_are_told_by_side_of_the_patient() -> None:
    """Stored with its slices first: S of the patient is the file's i."""
    affine = np.zeros((4, 4))
    affine[2, 0], affine[0, 1], affine[1, 2], affine[3, 3] = 5.0, 1.0, 1.0, 1.0
    grid = Grid((200, 40, 60), affine, "mm")

    said = warn_of_grid(grid, PLAN)

    assert len(said) == 2
    assert "spacing along S, 5 mm, lies outside the training's 2 to 2" in said[0]
    assert "extent along S, 1000 mm" in said[1]


def test_structures_of_another_brightness_are_told_by_channel() -> None:
    plan = make_plan(channels=("T1", "CT"))

    said = warn_of_intensities([0.0, 300.0], plan)

    assert len(said) == 1
    assert said[0].startswith("CT: the median of what was found, 300")
    assert warn_of_intensities([math.nan, math.nan], plan) == []
