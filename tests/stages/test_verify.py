"""verify lists all faults of all cases at once, and counts what it lets pass."""

import logging
import shutil
from pathlib import Path

import numpy as np
import pytest

from segpipe.dataset.case import read_cases
from segpipe.dataset.casework import CaseCache
from segpipe.images.formats.nifti import (
    read_image,
    read_label,
    write_image,
    write_label,
)
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.stages import verify
from tests.support.phantoms import write_dataset
from tests.support.projects import PATIENTS, VERIFY, changed


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    paths = Paths(tmp_path)
    write_dataset(paths.data, cases=10, patients=PATIENTS)
    return paths


def run(paths: Paths, dimensions: int = 3, **values: object) -> None:
    verify.run(changed(VERIFY, **values), networks={"m": dimensions}, paths=paths)


def test_a_sound_data_set_is_listed_case_by_case(paths: Paths) -> None:
    run(paths)
    cases = read_cases(paths.artifacts)

    assert [case.name for case in cases.cases] == sorted(PATIENTS)
    assert cases["case_03"].patient == "smith_1"
    assert cases["case_03"].shape == (24, 20, 16)
    assert cases["case_03"].spacing == (1, 1, 2)
    assert cases["case_03"].attributes == {"site": "north"}
    assert (cases.dimensions, cases.unit) == (3, "mm")


@pytest.mark.parametrize("workers", [1, 2])
def test_all_faults_of_all_cases_come_at_once(workers: int, paths: Paths) -> None:
    image = paths.data / "imagesTr" / "case_01_0000.nii"
    image.write_bytes(image.read_bytes()[:-10])
    file = paths.data / "labelsTr" / "case_04.nii"
    label = read_label(file)
    write_label(file, np.where(label.array == 3, 4, label.array), label.grid)
    (paths.data / "labelsTr" / "case_06.nii").unlink()

    with pytest.raises(DataError) as caught:
        run(paths, workers=workers)

    text = str(caught.value)
    assert "found 5 faults in 9 cases" in text  # numTraining and patients.csv, too
    for name in ("case_01_0000.nii", "case_04.nii", "labelsTr/case_06.nii"):
        assert name in text
    assert not (paths.artifacts / "verify" / "cases.json").exists()


def test_empty_labels_are_counted(
    paths: Paths, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("case_01", "case_02"):
        file = paths.data / "labelsTr" / f"{name}.nii"
        label = read_label(file)
        write_label(file, np.zeros_like(label.array), label.grid)

    with caplog.at_level(logging.WARNING):
        run(paths)
    assert "2 of 10 labels are empty" in caplog.text
    with pytest.raises(DataError, match="2 faults"):
        run(paths, empty_label="fault")


def test_copies_of_a_case_are_said(paths: Paths) -> None:
    image = read_image(paths.data / "imagesTr" / "case_01_0000.nii")
    copy = paths.data / "imagesTr" / "case_02_0000.nii"
    write_image(copy, image.array[0].astype(np.uint8), image.grid)
    run(paths)

    cases = read_cases(paths.artifacts)
    assert cases["case_01"].warnings == ("the same voxels as case_02",)
    assert cases["case_01"].digest == cases["case_02"].digest
    assert len({case.digest for case in cases.cases}) == len(cases.cases) - 1


def test_a_structure_that_nobody_drew_is_said(
    paths: Paths, caplog: pytest.LogCaptureFixture
) -> None:
    file = paths.data / "dataset.json"
    file.write_text(file.read_text().replace('"core": 3', '"core": 3, "rim": 5'))

    with caplog.at_level(logging.WARNING):
        run(paths)
    assert "rim (5) is drawn in no case" in caplog.text


def test_a_3d_network_on_images_is_refused(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    write_dataset(paths.data, dimensions=2, cases=4)

    with pytest.raises(DataError, match="volumes for model m, whose network is 3-D"):
        run(paths, 3)
    run(paths, 2)
    cases = read_cases(paths.artifacts)
    assert (cases.dimensions, cases.unit) == (2, "px")


def test_an_empty_folder_is_answered_with_the_way_on(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="segpipe import"):
        run(Paths(tmp_path))


def test_only_changed_cases_are_looked_at_again(paths: Paths) -> None:
    run(paths)
    cache = paths.cache / "verify"
    first = {entry.name for entry in cache.iterdir()}
    assert len(first) == 10
    text = (paths.artifacts / "verify" / "cases.json").read_bytes()
    run(paths)
    assert {entry.name for entry in cache.iterdir()} == first
    assert (paths.artifacts / "verify" / "cases.json").read_bytes() == text
    for entry in list(cache.iterdir()):  # what is known is asked, not the images
        kept = entry / "finding.json"
        kept.write_text(kept.read_text().replace('"warnings": []', '"warnings": ["!"]'))
        again = entry.rename(paths.root / "again")
        (again / ".digests.json").unlink()
        CaseCache(cache).store(entry.name, again)
        shutil.rmtree(again)
    run(paths)
    assert read_cases(paths.artifacts)["case_01"].warnings == ("!",)
    for entry in cache.iterdir():  # but what was changed by hand is not believed
        kept = entry / "finding.json"
        kept.write_text(kept.read_text().replace('["!"]', '["?"]'))
    run(paths)
    assert read_cases(paths.artifacts)["case_01"].warnings == ()

    file = paths.data / "labelsTr" / "case_04.nii"
    label = read_label(file)
    write_label(file, np.where(label.array == 3, 4, label.array), label.grid)
    with pytest.raises(DataError, match=r"case_04\.nii: .*found 4"):
        run(paths)
    assert {entry.name for entry in cache.iterdir()} == first


def test_other_limits_are_other_questions(paths: Paths) -> None:
    run(paths)

    with pytest.raises(DataError, match="10 faults"):
        run(paths, spacing_limits_mm=(1.5, 50.0))


def test_two_runs_write_the_same_bytes(paths: Paths) -> None:
    texts = []
    for workers in (1, 2):
        run(paths, workers=workers)
        texts.append((paths.artifacts / "verify" / "cases.json").read_bytes())

    assert texts[0] == texts[1]
