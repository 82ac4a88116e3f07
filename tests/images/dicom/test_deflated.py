"""Deflated DICOM files are read as others are; bombs among them stand in test_bombs."""

from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import DeflatedExplicitVRLittleEndian

from segpipe.images.dicom.deflated import is_deflated, promised_bytes, read_deflated
from segpipe.images.dicom.file import read_dataset, read_header
from segpipe.project.errors import DataError
from tests.support.dicoms import VOXELS, write_series


def deflated(folder: Path) -> Path:
    """One slice, with an element behind its pixels."""
    (file,) = write_series(folder, slices=[0])
    slice_ = dcmread(file)
    slice_.add_new(0xFFFCFFFC, "OB", bytes(5000))
    slice_.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    slice_.save_as(file, enforce_file_format=True)
    return file


def test_a_deflated_file_is_what_pydicom_reads(tmp_path: Path) -> None:
    file = deflated(tmp_path)

    header, whole = read_header(file), read_dataset(file)

    theirs = dcmread(file)
    assert is_deflated(file)
    assert whole == theirs
    assert whole.file_meta == theirs.file_meta
    assert header == dcmread(file, stop_before_pixels=True)
    assert read_header(file, ["Modality"]).get("Rows") is None
    assert promised_bytes(header) == VOXELS[:, :, 0].nbytes
    assert read_deflated(file, pixels=True, tags=None).filename == str(file)


def test_other_files_are_not_deflated(tmp_path: Path) -> None:
    (file,) = write_series(tmp_path, slices=[0])
    (tmp_path / "short").write_bytes(b"DICM")

    assert not is_deflated(file)
    assert not is_deflated(tmp_path / "short")


@pytest.mark.parametrize("lost", [10, 30, 200])
def test_a_deflated_file_that_is_cut_off_is_refused(lost: int, tmp_path: Path) -> None:
    file = deflated(tmp_path)
    file.write_bytes(file.read_bytes()[:-lost])

    with pytest.raises(DataError, match=r"\.dcm: expected "):
        read_dataset(file)
