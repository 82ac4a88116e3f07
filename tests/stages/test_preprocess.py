"""Prepared cases: right, cheap to make again, and small in memory."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from segpipe.dataset.prepared import CaseIndex, PreparedCase
from segpipe.images.formats.nifti import (
    read_image,
    read_label,
    write_image,
    write_label,
)
from segpipe.images.grid import Grid
from segpipe.images.region import region_voxels
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.stages import plan, preprocess
from tests.support.phantoms import write_dataset
from tests.support.projects import (
    PATIENTS,
    PLAN,
    PREPROCESS,
    TRAIN,
    changed,
    run_to_split,
)

MODELS = {"m": TRAIN}


def prepare(paths: Paths, **values: object) -> Path:
    run_to_split(paths)
    plan.run(changed(PLAN, **values), models=MODELS, paths=paths)
    preprocess.run(PREPROCESS, paths=paths)
    return paths.artifacts / "preprocess"


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    paths = Paths(tmp_path)
    write_dataset(paths.data, cases=10, patients=PATIENTS, instances=True, ignore=9)
    return paths


def test_at_its_own_spacing_a_case_is_only_normalized(paths: Paths) -> None:
    folder = prepare(paths) / "case_06"
    image = read_image(paths.data / "imagesTr" / "case_06_0000.nii").array
    label = read_label(paths.data / "labelsTr" / "case_06.nii").array

    expected = (image - image.mean()) / image.std()
    assert np.abs(np.load(folder / "image.npy") - expected).max() < 1e-5
    classes = np.load(folder / "label.npy")
    for value, number in ((0, 0), (1, 1), (3, 2), (9, -1)):
        assert np.array_equal(classes == number, label == value)
    assert set(np.unique(np.load(folder / "instances.npy"))) == {0, 1, 2}


def test_air_counts_neither_in_z_scores_nor_in_the_prepared_region(
    paths: Paths,
) -> None:
    for file in (paths.data / "imagesTr").iterdir():
        image = read_image(file)
        image.array[:, 12:] = image.array[0, 4, 5, 6] = 0
        write_image(file, image.array[0], image.grid)
    folder = prepare(paths)
    image = read_image(paths.data / "imagesTr" / "case_06_0000.nii").array
    filled = image[image != 0]

    expected = (image - filled.mean()) / filled.std()
    prepared = np.load(folder / "case_06" / "image.npy")
    assert np.abs(prepared - expected).max() < 1e-5
    region = PreparedCase(folder / "case_06").region
    assert region is not None
    assert region.kind == "voxels"
    found = region_voxels(prepared, region, tolerance=1e-4)
    assert np.array_equal(found, image[0] != 0)


def test_one_new_case_costs_one_case(paths: Paths) -> None:
    prepare(paths)
    cache = paths.cache / "preprocess"
    before = {entry.name for entry in cache.iterdir()}
    assert len(before) == 6  # without the test cases
    patients = PATIENTS | {"case_10": "jones"}
    write_dataset(paths.data, cases=11, patients=patients, instances=True, ignore=9)
    folder = prepare(paths)

    new = {entry.name for entry in cache.iterdir()} - before
    index = CaseIndex.read(folder / "index.json").cases
    assert new == {index["case_10"]}
    assert set(index.values()) - new == before
    assert (folder / "case_00" / "image.npy").is_file()


def test_a_changed_file_or_spacing_is_never_taken_from_the_cache(paths: Paths) -> None:
    before = CaseIndex.read(prepare(paths) / "index.json").cases
    file = paths.data / "imagesTr" / "case_08_0000.nii"
    image = read_image(file)
    write_image(file, image.array[0] + np.indices(image.grid.shape)[0], image.grid)
    after = CaseIndex.read(prepare(paths) / "index.json").cases

    assert {name for name in before if before[name] != after[name]} == {"case_08"}
    finer = CaseIndex.read(prepare(paths, spacing=(1.0, 1.0, 1.0)) / "index.json").cases
    assert not set(finer.values()) & set(after.values())


def test_a_case_that_fails_is_named_and_nothing_half_done_stays(paths: Paths) -> None:
    prepare(paths)
    file = paths.data / "labelsTr" / "case_07.nii"
    file.write_bytes(file.read_bytes()[:-100])

    with pytest.raises(DataError, match=r"case case_07: .*case_07\.nii"):
        preprocess.run(PREPROCESS, paths=paths)

    assert (paths.artifacts / "preprocess" / "index.json").is_file()


def test_an_annotated_slice_that_would_vanish_is_an_error(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    write_dataset(paths.data, cases=10, patients=PATIENTS, ignore=9)
    for file in (paths.data / "labelsTr").iterdir():
        label = read_label(file)
        sparse = np.full_like(label.array, 9)
        sparse[..., 5] = label.array[..., 5]
        write_label(file, sparse, label.grid)

    prepare(paths)
    with pytest.raises(DataError, match=r"drops canonical slices k = 5"):
        prepare(paths, spacing=(1.0, 1.0, 6.0))


# Not ru_maxrss: across fork and exec it starts at the peak of the tests themselves.
MEASURE = """
import sys
from pathlib import Path
from segpipe.project.paths import Paths
from segpipe.stages import preprocess
def peak():
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024
before = peak()
preprocess.run(preprocess.PreprocessParams(workers=1), paths=Paths(Path(sys.argv[1])))
print(peak() - before)
"""


@pytest.mark.slow
def test_memory_stays_within_six_times_the_largest_case(tmp_path: Path) -> None:
    """Above the process's own footprint after imports; the case as float32."""
    paths = Paths(tmp_path)
    shape = (144, 136, 128)
    write_dataset(paths.data, cases=10, shape=(8, 8, 8), patients=PATIENTS)
    affine = np.array([[0, -1, 0, 0], [0, 0, 1.5, 0], [-1, 0, 0, 0], [0, 0, 0, 1.0]])
    grid = Grid(shape, affine, "mm")
    label = np.zeros(shape, dtype=np.uint8)
    label[40:80, 40:80, 40:80], label[90:99, 90:99, 90:99] = 1, 3
    image = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    write_image(paths.data / "imagesTr" / "case_00_0000.nii", image, grid)
    write_label(paths.data / "labelsTr" / "case_00.nii", label, grid)
    run_to_split(paths)
    plan.run(changed(PLAN, spacing=(1.1, 1.4, 1.0)), models=MODELS, paths=paths)

    answer = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=240,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )

    case = np.prod(shape) * 4
    assert case < int(answer.stdout) <= 6 * case  # less than one was not measured
