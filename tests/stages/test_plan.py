"""The plan follows from the non-test cases and from nothing else."""

from pathlib import Path

import numpy as np
import pytest

from segpipe.errors import DataError
from segpipe.io.nifti import read_image, read_label, write_image, write_label
from segpipe.paths import Paths
from segpipe.plan import Plan, read_patch_plan, read_plan, read_split
from segpipe.stages import plan
from tests.phantoms import write_dataset
from tests.projects import PATIENTS, PLAN, TRAIN, changed, run_to_split

MODELS = {"m": TRAIN}


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    paths = Paths(tmp_path)
    write_dataset(paths.data, cases=10, patients=PATIENTS)
    run_to_split(paths)
    return paths


def plan_of(paths: Paths, **values: object) -> Plan:
    plan.run(changed(PLAN, **values), models=MODELS, paths=paths)
    return read_plan(paths.artifacts)


def test_the_fingerprint_is_what_the_cases_are(paths: Paths) -> None:
    found = plan_of(paths).fingerprint

    assert found.cases == 10 - len(read_split(paths.artifacts).test)
    assert found.median_shape == (24, 20, 16)
    assert found.spacings[2] == (2, 2, 2)
    assert sum(found.class_frequencies) == pytest.approx(1)
    label = read_label(paths.data / "labelsTr" / "case_00.nii").array
    assert found.class_frequencies[1] == pytest.approx((label == 1).mean(), rel=0.2)


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
    assert len(known) == before.fingerprint.cases
    assert plan_of(paths) == before
    name = read_split(paths.artifacts).folds[0].training[0]
    file = paths.data / "imagesTr" / f"{name}_0000.nii"
    image = read_image(file)
    write_image(file, image.array[0] * 2, image.grid)

    after = plan_of(paths)
    assert after.fingerprint.intensities != before.fingerprint.intensities
    assert len({entry.name for entry in cache.iterdir()} - known) == 1


def test_fixed_values_are_kept(paths: Paths) -> None:
    found = plan_of(paths, spacing=(2.0, 1.0, 2.0), normalization=("none",))

    assert found.spacing == (2, 1, 2)
    assert found.normalization[0].kind == "none"
    assert found.fingerprint.median_prepared_shape == (12, 20, 16)


def test_normalizations_are_one_a_channel(paths: Paths) -> None:
    with pytest.raises(DataError, match=r"plan\.normalization: expected one a channel"):
        plan_of(paths, normalization=("none", "ct"))


def test_a_fixed_patch_that_does_not_fit_names_the_model(paths: Paths) -> None:
    shape = changed(TRAIN, patch_size=(10, 16, 8))

    with pytest.raises(DataError, match=r"model odd: .*found 10; the next is 16"):
        plan.run(PLAN, models={"odd": shape}, paths=paths)


def test_models_that_were_dropped_leave_no_patch(paths: Paths) -> None:
    plan.run(PLAN, models={"a": MODELS["m"], "b": MODELS["m"]}, paths=paths)
    plan.run(PLAN, models={"a": MODELS["m"]}, paths=paths)

    patches = paths.artifacts / "plan" / "patches"
    assert [path.name for path in patches.iterdir()] == ["a.json"]
    assert read_patch_plan(paths.artifacts, "a").patch_size == (16, 16, 8)


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


def test_ct_is_known_by_its_channels_name(paths: Paths) -> None:
    assert plan_of(paths).normalization[0].kind == "zscore"
    file = paths.artifacts / "verify" / "cases.json"
    file.write_text(file.read_text().replace('"intensity"', '"CT"'))

    found = plan_of(paths).normalization[0]
    assert found.kind == "ct"
    assert found.low < found.mean < found.high
