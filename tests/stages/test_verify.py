"""verify lists all faults of all cases at once, and counts what it lets pass."""

import logging
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from segpipe.dataset.case import read_cases
from segpipe.dataset.casework.finished import CaseCache
from segpipe.images.formats.nifti import (
    read_image,
    read_label,
    write_image,
    write_label,
)
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.stages import verify
from segpipe.tools.importing.conversion import ImportOptions
from segpipe.tools.importing.run import import_dataset
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


@pytest.mark.usefixtures("workers_at_once")
def test_all_faults_of_all_cases_come_at_once(paths: Paths) -> None:
    image = paths.data / "imagesTr" / "case_01_0000.nii"
    image.write_bytes(image.read_bytes()[:-10])
    file = paths.data / "labelsTr" / "case_04.nii"
    label = read_label(file)
    write_label(file, np.where(label.array == 3, 4, label.array), label.grid)
    (paths.data / "labelsTr" / "case_06.nii").unlink()

    with pytest.raises(DataError) as caught:
        run(paths, workers=1)
    with pytest.raises(DataError) as of_workers:
        run(paths, workers=2)

    text = str(caught.value)
    assert str(of_workers.value) == text
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


def test_of_many_copies_eight_are_named(paths: Paths) -> None:
    """Each of many copies would name all others: cases.json grew by their square."""
    image = read_image(paths.data / "imagesTr" / "case_01_0000.nii")
    same = image.array[0].astype(np.uint8)
    for file in (paths.data / "imagesTr").iterdir():
        write_image(file, same, image.grid)
    run(paths)

    named = [f"case_{number:02d}" for number in range(10) if number != 3]
    cases = read_cases(paths.artifacts)
    expected = f"the same voxels as {', '.join(named[:8])} and 1 more"
    assert cases["case_03"].warnings == (expected,)


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


@pytest.mark.usefixtures("workers_at_once")
def test_two_runs_write_the_same_bytes(paths: Paths) -> None:
    texts = []
    for workers in (1, 2):
        run(paths, workers=workers)
        texts.append((paths.artifacts / "verify" / "cases.json").read_bytes())

    assert texts[0] == texts[1]


def eyes(patients: list[str], *, words: tuple[str, str]) -> list[str]:
    return [f"{patient}{word}" for patient in patients for word in words]


SCANS = {
    "words": eyes(["12", "13", "14"], words=("_left", "_right")),
    "letters": eyes(["p1", "p2", "p3"], words=("_a", "_b")),
    "letters at once": eyes(["Image_01", "Image_02", "Image_03"], words=("L", "R")),
    "one pair": ["12_left", "12_right", "13_left", "14_left"],
    "sessions": eyes(["sub-01_ses", "sub-02_ses"], words=("-1", "-2")),
    "slices": [f"scan{n}_{k:04d}" for n in (1, 2, 3) for k in range(6)],
}
UNRELATED = {
    "numbers": [f"{n:03d}" for n in range(12)],
    "numbers of one stem": [f"case_{n:03d}" for n in range(12)],
    "numbers without a mark": [f"BRATS{n}" for n in range(12)],
    "a number in the stem": [f"BraTS20_Training_{n:03d}" for n in range(12)],
    "two sources": [f"{who}_{n:03d}" for who in ("paris", "rome") for n in range(6)],
    "digests": ["0bf4b1", "1c2fd0e", "27c30f", "5b12df1", "77ae", "9f2e1c"],
    "one word": [f"sub-{n:02d}_FLAIR" for n in range(12)],
}


def write_named(paths: Paths, names: list[str]) -> None:
    write_dataset(paths.data, dimensions=2, cases=len(names), shape=(8, 8, 1))
    for number, name in enumerate(names):
        for file in paths.data.rglob(f"case_{number:02d}*"):
            file.rename(file.with_name(file.name.replace(f"case_{number:02d}", name)))


@pytest.mark.parametrize("kind", [*SCANS, *UNRELATED])
def test_names_that_look_like_one_patients_are_said_with_a_mend_that_works(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    paths = Paths(tmp_path / "project")
    write_named(paths, (SCANS | UNRELATED)[kind])
    run(paths, dimensions=2)

    found = re.findall(
        r"(\S+) and (\S+) differ .*--patient-pattern '(.*?)'", caplog.text
    )
    assert len(found) == (kind in SCANS)
    for one, two, pattern in found:
        delivery = paths.data.rename(tmp_path / "delivery")
        options = ImportOptions(patient_pattern=pattern)
        import_dataset(delivery, paths.data, options)
        caplog.clear()
        run(paths, dimensions=2)
        cases = read_cases(paths.artifacts)
        assert cases[one].patient == cases[two].patient
        assert len({case.patient for case in cases.cases}) > 1
        assert "differ" not in caplog.text


def test_the_structures_of_a_case_are_those_that_are_drawn(paths: Paths) -> None:
    file = paths.data / "labelsTr" / "case_03.nii"
    label = read_label(file)
    write_label(file, np.where(label.array == 3, 0, label.array), label.grid)
    run(paths)

    cases = read_cases(paths.artifacts)
    assert cases["case_03"].structures == ("ball",)
    assert cases["case_04"].structures == ("ball", "core")
