"""The plan follows from the non-test cases and from nothing else."""

from pathlib import Path

import pytest

from segpipe.dataset.split import read_split
from segpipe.images.formats.nifti import read_image, write_image
from segpipe.project.paths import Paths
from segpipe.segmenter.plan import read_patch_plan
from segpipe.stages import plan
from tests.support.planned import MODELS, plan_of, write_ten_cases
from tests.support.projects import PLAN


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return write_ten_cases(tmp_path)


def test_test_cases_have_no_say(paths: Paths) -> None:
    before = plan_of(paths)
    for name in read_split(paths.artifacts).test:
        file = paths.data / "imagesTr" / f"{name}_0000.nii"
        image = read_image(file)
        write_image(file, image.array[0] * 100, image.grid)

    assert plan_of(paths) == before


def test_only_new_cases_are_looked_at_again(paths: Paths) -> None:
    before = plan_of(paths)
    cache = paths.cache / "plan"
    known = {entry.name for entry in cache.iterdir()}
    assert len(known) == before.profile.cases
    assert plan_of(paths) == before
    name = read_split(paths.artifacts).folds[0].training[0]
    file = paths.data / "imagesTr" / f"{name}_0000.nii"
    image = read_image(file)
    write_image(file, image.array[0] * 2, image.grid)

    after = plan_of(paths)
    assert after.profile.intensities != before.profile.intensities
    assert len({entry.name for entry in cache.iterdir()} - known) == 1


def test_models_that_were_dropped_leave_no_patch(paths: Paths) -> None:
    plan.run(PLAN, models={"a": MODELS["m"], "b": MODELS["m"]}, paths=paths)
    plan.run(PLAN, models={"a": MODELS["m"]}, paths=paths)

    patches = paths.artifacts / "plan" / "patches"
    assert [path.name for path in patches.iterdir()] == ["a.json"]
    assert read_patch_plan(paths.artifacts, "a").patch_size == (16, 16, 8)
