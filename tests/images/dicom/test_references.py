"""Labels name the series and the images that they were drawn on."""

from pathlib import Path

import pytest
from pydicom import dcmread

from segpipe.images.dicom.references import read_references
from segpipe.project.errors import DataError
from tests.support.labelled_dicoms import add_rtstruct, add_seg, add_series, drawn, uid


def test_a_segmentation_names_its_series_and_the_slices_of_its_frames(
    tmp_path: Path,
) -> None:
    """Only slices with a structure have frames."""
    file = add_seg(tmp_path / "seg.dcm", add_series(tmp_path / "ct", 1), drawn())

    found = read_references(file)

    assert found.series == {uid(1)}
    assert found.instances == {f"{uid(1)}.{k + 1}" for k in (1, 2, 3, 4)}


def test_a_structure_set_names_the_slices_of_its_contours(tmp_path: Path) -> None:
    file = add_rtstruct(tmp_path / "rt.dcm", add_series(tmp_path / "ct", 1))

    found = read_references(file)

    assert found.series == {uid(1)}
    assert found.instances == {f"{uid(1)}.5"}


def test_a_label_without_references_names_nothing(tmp_path: Path) -> None:
    file = add_rtstruct(tmp_path / "rt.dcm", add_series(tmp_path / "ct", 1))
    dataset = dcmread(file)
    del dataset.ReferencedFrameOfReferenceSequence
    del dataset.ROIContourSequence
    dataset.save_as(file)

    found = read_references(file)

    assert not found.series
    assert not found.instances


def test_a_file_that_is_no_dicom_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "seg.dcm"
    file.write_bytes(b"no DICOM")

    with pytest.raises(DataError, match=r"seg\.dcm: expected a DICOM file"):
        read_references(file)
