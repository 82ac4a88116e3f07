from pathlib import Path

import pytest

from segpipe.project.errors import DataError
from segpipe.tools.segmenting.studies import find_studies
from tests.support.dicoms import SERIES, write_series


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def found(folder: Path, channels: int = 1) -> dict[str, list[str]]:
    studies = find_studies([folder], channels=channels, output=folder / "out")
    return {study.name: [file.name for file in study.files] for study in studies}


def test_images_are_found_however_deep_and_nothing_else(tmp_path: Path) -> None:
    touch(tmp_path, "a.nii.gz", "b/c/d.nrrd", "b/e.png", "notes.txt", ".x.nii")
    touch(tmp_path, "out/a.nii.gz")

    assert found(tmp_path) == {
        "a": ["a.nii.gz"],
        "b/c/d": ["d.nrrd"],
        "b/e": ["e.png"],
    }


def test_numbers_are_channels_where_the_segmenter_has_several(tmp_path: Path) -> None:
    """With one channel, _0000 is dropped, and other numbers belong to names."""
    touch(tmp_path, "a_0000.nii", "a_0001.nii", "b_0000.nii", "scan_0007.nii")

    assert found(tmp_path, 2) == {
        "a": ["a_0000.nii", "a_0001.nii"],
        "b": ["b_0000.nii"],
        "scan": ["scan_0007.nii"],
    }
    assert set(found(tmp_path, 1)) == {"a", "a_0001", "b", "scan_0007"}


def test_files_named_alike_keep_their_endings_apart(tmp_path: Path) -> None:
    touch(tmp_path, "a.nii.gz", "a.nrrd")

    assert set(found(tmp_path)) == {"a_nii_gz", "a_nrrd"}


def test_dicom_files_of_a_series_are_one_study_named_by_its_uid(tmp_path: Path) -> None:
    files = write_series(tmp_path / "Jane Doe")
    touch(tmp_path, "broken.dcm")

    studies = find_studies([tmp_path], channels=1, output=tmp_path / "out")

    by_name = {study.name: study for study in studies}
    assert set(by_name) == {SERIES, "broken.dcm"}
    assert sorted(by_name[SERIES].files) == sorted(files)
    assert by_name[SERIES].ending == ".dcm"
    assert "expected a DICOM file" in (by_name["broken.dcm"].fault or "")


def test_a_jpeg_gets_a_mask_without_loss(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg")

    (study,) = find_studies([tmp_path / "a.jpg"], channels=1, output=tmp_path / "out")
    assert study.ending == ".png"


def test_two_studies_of_one_name_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "x/a.nii", "y/a.nii")

    with pytest.raises(DataError, match="expected a name of its own"):
        find_studies(
            [tmp_path / "x", tmp_path / "y"], channels=1, output=tmp_path / "out"
        )
