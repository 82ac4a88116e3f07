"""A survey says what a case is on its canonical axes, and is made once."""

from pathlib import Path

import numpy as np
import pytest

from segpipe.dataset.case import CaseList, read_cases
from segpipe.dataset.survey import SAMPLES, CaseSurvey, survey_case
from segpipe.images.formats.nifti import read_image, read_label, write_image
from segpipe.project.paths import Paths
from tests.support.phantoms import write_dataset
from tests.support.projects import VERIFY, verify


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    paths = Paths(tmp_path)
    write_dataset(paths.data, cases=1)
    verify.run(VERIFY, networks={"m": 3}, paths=paths)
    return paths


def survey(paths: Paths) -> tuple[CaseSurvey, CaseList]:
    cases = read_cases(paths.artifacts)
    return survey_case(paths, cases, cases.cases[0]), cases


def test_the_samples_are_foreground_and_the_counts_are_those_of_the_label(
    paths: Paths,
) -> None:
    found, cases = survey(paths)

    case = cases.cases[0]
    image = read_image(paths.data / case.images[0])
    label = read_label(paths.data / case.label).array
    assert found.counts.tolist() == [(label == value).sum() for value in cases.values]
    assert found.grid.directions == "RAS"
    assert sorted(found.grid.shape) == sorted(image.grid.shape)
    drawn = (label != 0) & (label != cases.ignore)
    assert found.samples.shape == (1, min(SAMPLES, int(drawn.sum())))
    assert np.isin(found.samples[0], image.array[0][drawn]).all()


def test_a_case_is_looked_at_again_only_when_its_files_change(paths: Paths) -> None:
    first, cases = survey(paths)
    (entry,) = (paths.cache / "plan").iterdir()
    again, _ = survey(paths)
    assert [*(paths.cache / "plan").iterdir()] == [entry]
    np.testing.assert_array_equal(first.samples, again.samples)
    assert again.grid.matches(first.grid, tolerance=0.0)

    file = paths.data / cases.cases[0].images[0]
    image = read_image(file)
    write_image(file, image.array[0] * 2, image.grid)
    changed, _ = survey(paths)
    np.testing.assert_allclose(changed.samples, 2 * first.samples)
    assert len([*(paths.cache / "plan").iterdir()]) == 2
