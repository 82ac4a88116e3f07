"""The profile is what the cases are, and spacing and region follow from it."""

from pathlib import Path

import numpy as np
import pytest

from segpipe.dataset.split import read_split
from segpipe.images.formats.nifti import (
    read_image,
    read_label,
    write_image,
    write_label,
)
from segpipe.project.paths import Paths
from tests.support.phantoms import write_dataset
from tests.support.planned import plan_of, write_ten_cases
from tests.support.projects import PATIENTS, run_to_split


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return write_ten_cases(tmp_path)


def test_the_fingerprint_is_what_the_cases_are(paths: Paths) -> None:
    found = plan_of(paths).profile

    assert found.cases == 10 - len(read_split(paths.artifacts).test)
    assert found.median_shape == (24, 20, 16)
    assert found.spacings[2] == (2, 2, 2)
    assert sum(found.class_frequencies) == pytest.approx(1)
    label = read_label(paths.data / "labelsTr" / "case_00.nii").array
    assert found.class_frequencies[1] == pytest.approx((label == 1).mean(), rel=0.2)


def test_fixed_values_are_kept(paths: Paths) -> None:
    found = plan_of(paths, spacing=(2.0, 1.0, 2.0), normalization=("none",))

    assert found.spacing == (2, 1, 2)
    assert found.normalization[0].kind == "none"
    assert found.profile.median_prepared_shape == (12, 20, 16)


@pytest.mark.parametrize(
    ("filled", "cases", "kind"),
    [(18, 10, "box"), (17, 10, "voxels"), (17, 1, "box")],
)
def test_a_set_that_is_mostly_air_counts_its_voxels_that_are_not_empty(
    filled: int, cases: int, kind: str, paths: Paths, caplog: pytest.LogCaptureFixture
) -> None:
    """Slices along i that are not empty, of 24: 3/4 and fewer, in most cases or few."""
    caplog.set_level("INFO")
    for number in range(cases):
        file = paths.data / "imagesTr" / f"case_{number:02d}_0000.nii"
        image = read_image(file)
        image.array[:, filled:] = -7
        write_image(file, image.array[0], image.grid)

    found = plan_of(paths)
    assert found.region is not None
    assert found.region.kind == kind
    assert found.region.background == ((-7,) if cases == 10 else (0,))
    assert f"z-scores over the {kind}" in caplog.text


def test_without_z_scores_there_is_no_region(paths: Paths) -> None:
    assert plan_of(paths, normalization=("ct",)).region is None


def test_a_coarse_axis_takes_its_10th_percentile(tmp_path: Path) -> None:
    """So that few coarse cases do not blur the many finer ones: Isensee 2021."""
    paths = Paths(tmp_path)
    write_dataset(paths.data, cases=10, patients=PATIENTS)
    for number, file in enumerate(sorted((paths.data / "imagesTr").iterdir())):
        image = read_image(file)
        affine = np.diag([1.0, 1.0, 4.0 + number, 1.0])
        grid = type(image.grid)(image.grid.shape, affine, "mm")
        write_image(file, image.array[0], grid)
        label = paths.data / "labelsTr" / file.name.replace("_0000", "")
        write_label(label, read_label(label).array, grid)
    run_to_split(paths)
    found = plan_of(paths)

    steps = [4 + int(case[-2:]) for case in PATIENTS]
    kept = [
        step
        for step, case in zip(steps, PATIENTS, strict=True)
        if case not in read_split(paths.artifacts).test
    ]
    assert found.spacing[:2] == (1, 1)
    assert found.spacing[2] == pytest.approx(np.percentile(kept, 10))
