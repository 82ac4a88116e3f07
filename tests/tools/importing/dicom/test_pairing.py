"""Labels find their image series by what they refer to, not by their names."""

import logging
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread

from segpipe.project.errors import DataError
from segpipe.tools.importing.conversion import ImportOptions
from segpipe.tools.importing.dicom.pairing import find_labelled
from segpipe.tools.importing.dicom.run import holds_dicom
from tests.support.labelled_dicoms import add_rtstruct, add_seg, add_series, drawn, uid


def other_reference(number: int) -> Dataset:
    item = Dataset()
    item.SeriesInstanceUID = uid(number)
    return item


def test_each_label_finds_its_series(tmp_path: Path) -> None:
    two = add_seg(tmp_path / "z.dcm", add_series(tmp_path / "a", 2), drawn())
    one = add_rtstruct(tmp_path / "deep" / "rt", add_series(tmp_path / "b", 1))
    found = find_labelled(tmp_path)

    assert [pair.images.uid for pair in found] == [uid(1), uid(2)]
    assert [pair.labels for pair in found] == [(one,), (two,)]
    assert all(len(pair.images.files) == 6 for pair in found)


def test_contours_tell_the_series_where_several_or_none_are_named(
    tmp_path: Path,
) -> None:
    image = add_series(tmp_path / "a", 1)
    add_series(tmp_path / "b", 2)
    file = add_rtstruct(tmp_path / "rt.dcm", image)
    dataset = dcmread(file)
    study = dataset.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0]
    study.RTReferencedSeriesSequence.append(other_reference(2))
    dataset.save_as(file)
    assert [pair.images.uid for pair in find_labelled(tmp_path)] == [uid(1)]

    del dataset.ReferencedFrameOfReferenceSequence
    dataset.save_as(file)
    assert [pair.images.uid for pair in find_labelled(tmp_path)] == [uid(1)]


def test_labels_whose_image_is_not_there_are_all_named(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        image = add_series(tmp_path / f"ct{number}", number)
        add_seg(tmp_path / f"seg{number}.dcm", image, drawn())
    for number in (1, 3):
        for file in (tmp_path / f"ct{number}").iterdir():
            file.unlink()

    with pytest.raises(DataError) as error:
        find_labelled(tmp_path)
    lines = str(error.value).splitlines()
    assert len(lines) == 2
    for line, number in zip(lines, (1, 3), strict=True):
        assert line.startswith(f"{tmp_path}/seg{number}.dcm: expected its image series")


def test_a_segmentation_of_several_series_is_refused(tmp_path: Path) -> None:
    image = add_series(tmp_path / "a", 1)
    add_series(tmp_path / "b", 2)
    file = add_seg(tmp_path / "seg.dcm", image, drawn())
    dataset = dcmread(file)
    dataset.ReferencedSeriesSequence.append(other_reference(2))
    del dataset.PerFrameFunctionalGroupsSequence
    dataset.save_as(file)

    with pytest.raises(DataError, match=r"seg\.dcm: expected labels of one image ser"):
        find_labelled(tmp_path)


def test_a_folder_without_labels_is_refused(tmp_path: Path) -> None:
    add_series(tmp_path / "a", 1)
    add_series(tmp_path / "b", 2)

    with pytest.raises(DataError, match="found none beside 2 image series"):
        find_labelled(tmp_path)


def test_what_is_left_out_is_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def dose(slice_: Dataset, k: int) -> None:
        slice_.Modality = "RTDOSE" if k == 0 else "SR"
        slice_.SeriesInstanceUID = uid(4)

    add_seg(tmp_path / "seg.dcm", add_series(tmp_path / "a", 1), drawn())
    add_series(tmp_path / "b", 2)
    add_series(tmp_path / "c", 3)
    folder = tmp_path / "dose"
    folder.mkdir()
    dataset = dcmread(next((tmp_path / "b").iterdir()))
    dose(dataset, 0)
    dataset.save_as(folder / "dose.dcm")
    (tmp_path / "readme.txt").write_text("no image")
    (tmp_path / ".hidden.dcm").write_text("no image")
    with caplog.at_level(logging.INFO):
        (pair,) = find_labelled(tmp_path)

    assert pair.images.uid == uid(1)
    assert [record.message for record in caplog.records] == [
        "left out 2 image series without a label",
        "left out 1 series of other objects (doses, plans, reports)",
        "left out 1 files that are no DICOM image or label",
    ]


def test_a_folder_is_dicom_if_nothing_else_was_said(tmp_path: Path) -> None:
    assert not holds_dicom(tmp_path, ImportOptions())
    add_series(tmp_path / "a", 1)
    assert holds_dicom(tmp_path, ImportOptions())
    assert not holds_dicom(tmp_path, ImportOptions(images="a"))
    assert not holds_dicom(tmp_path, ImportOptions(labels="a"))
    (tmp_path / "cells.h5").touch()
    assert not holds_dicom(tmp_path, ImportOptions())
