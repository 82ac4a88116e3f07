"""A survey tells the grid, the intensities of structures and the class counts."""

from pathlib import Path

import numpy as np

from segpipe.dataset.case import Case, CaseList
from segpipe.dataset.casework.digests import DataDigests
from segpipe.dataset.survey import CaseSurvey, recall_survey, survey_case
from segpipe.images.formats import nifti
from segpipe.images.grid import Grid
from segpipe.project.paths import Paths

SHAPE = (4, 3, 2)
LABEL = np.zeros(SHAPE, np.int16)
LABEL[0] = 5
LABEL[1, 0, 0] = 7  # not annotated
IMAGE = np.where(LABEL == 5, 100, -3).astype(np.int16)


def write_one(paths: Paths, affine: np.ndarray) -> CaseList:
    grid = Grid(SHAPE, affine, "mm")
    nifti.write_image(paths.data / "image.nii", IMAGE, grid)
    nifti.write_label(paths.data / "label.nii", LABEL, grid)
    case = Case(
        name="one",
        patient="one",
        images=("image.nii",),
        label="label.nii",
        instances=None,
        shape=SHAPE,
        spacing=grid.spacing,
        attributes={},
        warnings=(),
    )
    return CaseList(
        format_version=1,
        dimensions=3,
        unit="mm",
        spacing_mm=None,
        file_ending=".nii",
        channels=("a",),
        labels={"background": 0, "ball": 5},
        ignore=7,
        cases=(case,),
    )


def survey(paths: Paths, cases: CaseList, most: int = 99) -> CaseSurvey:
    return survey_case(paths, cases, DataDigests.load(paths), most, cases.cases[0])


def recall(paths: Paths, cases: CaseList, most: int = 99) -> CaseSurvey | None:
    return recall_survey(paths, cases, DataDigests.load(paths), most, cases.cases[0])


def test_only_structures_are_sampled_and_only_annotated_voxels_counted(
    tmp_path: Path,
) -> None:
    paths = Paths(tmp_path)
    cases = write_one(paths, np.diag([1.0, 2.0, 3.0, 1.0]))

    found = survey(paths, cases)

    assert found.samples.tolist() == [[100.0] * 6]
    assert found.counts.tolist() == [24 - 6 - 1, 6]
    assert found.background.tolist() == [-3]
    assert found.box_share == 1 / 4  # the ball fills the first plane of four
    again = recall(paths, cases)
    assert again is not None
    assert again.box_share == 1 / 4


def test_the_grid_is_told_along_the_canonical_axes(tmp_path: Path) -> None:
    """The file stores R, A, S along k, i, j."""
    paths = Paths(tmp_path)
    affine = np.zeros((4, 4))
    affine[0, 2], affine[1, 0], affine[2, 1], affine[3, 3] = 3.0, 1.0, 2.0, 1.0
    cases = write_one(paths, affine)

    grid = survey(paths, cases).grid

    assert grid.shape == (2, 4, 3)
    assert grid.spacing == (3.0, 1.0, 2.0)


def test_a_second_survey_comes_from_the_cache(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    cases = write_one(paths, np.eye(4))
    assert recall(paths, cases) is None
    first = survey(paths, cases)
    second = recall(paths, cases)

    assert second is not None
    np.testing.assert_array_equal(second.samples, first.samples)
    assert second.grid.matches(first.grid, tolerance=0.0)
    assert second.counts.tolist() == first.counts.tolist()
    assert second.background.tolist() == first.background.tolist()


def test_a_case_is_surveyed_again_once_its_files_changed(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    cases = write_one(paths, np.eye(4))
    first = survey(paths, cases)
    nifti.write_image(paths.data / "image.nii", 2 * IMAGE, first.grid)
    assert recall(paths, cases) is None

    second = survey(paths, cases)

    np.testing.assert_array_equal(second.samples, 2 * first.samples)


def test_of_many_cases_fewer_voxels_are_held_but_the_cache_has_all(
    tmp_path: Path,
) -> None:
    """A ball of 6 voxels whose values are 0 to 5: of three, both ends and a middle."""
    paths = Paths(tmp_path)
    cases = write_one(paths, np.eye(4))
    ramp = np.where(LABEL == 5, np.arange(LABEL.size).reshape(SHAPE), -3)
    nifti.write_image(
        paths.data / "image.nii", ramp.astype(np.int16), Grid(SHAPE, np.eye(4), "mm")
    )

    few, again = survey(paths, cases, most=3), recall(paths, cases, most=3)
    every = recall(paths, cases)

    assert again is not None
    assert every is not None
    assert few.samples.tolist() == again.samples.tolist() == [[0, 2, 5]]
    assert every.samples.tolist() == [[0, 1, 2, 3, 4, 5]]
