import math
from pathlib import Path

import numpy as np
import pytest

from segpipe.images.formats import nifti, raster
from segpipe.images.grid import Grid
from segpipe.project.errors import DataError
from segpipe.tools.segmenting.opening import (
    open_study,
    warn_of_grid,
    warn_of_intensities,
)
from segpipe.tools.segmenting.studies import Study
from tests.support.segmenters import make_plan

GREY = np.arange(48, dtype=np.uint8).reshape(1, 6, 8, 1)


def opened(path: Path, *, spacing_mm=None, **plan):
    study = Study("a", (path,))
    made = make_plan(**plan)
    return open_study(study, made, spacing_mm=spacing_mm, resample_tilt=False)


def test_a_picture_of_a_trained_spacing_needs_one(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    raster.write_image(path, GREY)

    with pytest.raises(DataError, match="say --spacing-mm"):
        opened(path, dimensions=2)
    found = opened(path, dimensions=2, spacing_mm=(0.5, 0.25))
    assert found.source.grid.spacing[:2] == (0.5, 0.25)


def test_a_blank_image_is_refused_when_it_is_read(tmp_path: Path) -> None:
    grid = Grid.from_spacing((6, 8, 40), (1.0, 1.0, 1.0), "mm")
    nifti.write_image(tmp_path / "a.nii", np.full(grid.shape, 1200, np.int16), grid)

    found = opened(tmp_path / "a.nii")

    with pytest.raises(DataError, match=r"a\.nii.*found 1200 in every voxel.*zero var"):
        list(found.source.read())


def test_mm_where_the_training_had_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.nii"
    grid = Grid.from_spacing((6, 8, 1), (1.0, 1.0, 1.0), "mm")
    nifti.write_image(path, GREY[0], grid)

    with pytest.raises(DataError, match="without a physical spacing"):
        opened(path, dimensions=2, unit="px")


def test_colours_that_say_nothing_become_grey_and_it_is_said(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    raster.write_image(path, np.concatenate([GREY] * 3))

    found = opened(path, dimensions=2, unit="px")

    assert found.warnings == ("colours, all equal, became one grey channel",)
    np.testing.assert_array_equal(next(found.source.read())[0], GREY[0])


def test_a_picture_is_no_volume_and_a_volume_no_picture(tmp_path: Path) -> None:
    grid = Grid.from_spacing((6, 8, 3), (1.0, 1.0, 1.0), "mm")
    nifti.write_image(tmp_path / "v.nii", np.zeros((6, 8, 3), np.uint8), grid)
    raster.write_image(tmp_path / "p.png", GREY)

    with pytest.raises(DataError, match="expected a single image"):
        opened(tmp_path / "v.nii", dimensions=2)
    with pytest.raises(DataError, match="expected a volume"):
        opened(tmp_path / "p.png", unit="px")


PLAN = make_plan(shape=(40, 60, 80), spacing=(1.0, 1.0, 2.0))


def test_an_image_like_the_trainings_is_worth_no_word() -> None:
    grid = Grid.from_spacing((38, 66, 75), (1.0, 0.95, 2.1), "mm")

    assert warn_of_grid(grid, PLAN) == []
    assert warn_of_intensities([0.3], PLAN) == []


def test_spacing_and_extent_are_told_by_side_of_the_patient() -> None:
    """The slices are stored first: S of the patient is the file's i."""
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
