"""What a segmentation takes over of its image: all that is needed, nothing in words."""

from pathlib import Path

import pytest
from pydicom import Dataset, dcmread

from segpipe.images.dicom.seg.reading import read_seg
from segpipe.images.dicom.seg.writing import write_seg
from segpipe.project.errors import DataError
from tests.support.dicoms import (
    ALGORITHM,
    SECRETS,
    labels,
    legend,
    load,
    numbered,
    write,
    write_series,
)


def test_names_in_any_script_are_written(tmp_path: Path) -> None:
    def change(slice_: Dataset, k: int) -> None:
        slice_.SpecificCharacterSet = "ISO_IR 100"
        slice_.PatientName = "Müller^Jörg"

    write_series(tmp_path / "series", change=change)
    source = load(tmp_path / "series")
    write_seg(
        tmp_path / "seg.dcm",
        labels(),
        source,
        legend=legend({3: "海馬", 7: "größere Läsion"}),
        algorithm=ALGORITHM,
    )

    assert dcmread(tmp_path / "seg.dcm").PatientName == "Müller^Jörg"
    found = read_seg(tmp_path / "seg.dcm", source)
    assert found.structures == {"海馬": 1, "größere Läsion": 2}


@pytest.mark.parametrize(
    "keyword",
    ["FrameOfReferenceUID", "StudyID", "AccessionNumber", "PatientSex", "StudyDate"],
)
def test_an_anonymous_source_can_be_segmented(keyword: str, tmp_path: Path) -> None:
    write_series(tmp_path / "series", change=lambda s, k: delattr(s, keyword))
    source = load(tmp_path / "series")
    write(tmp_path / "seg.dcm", source, labels())

    found = read_seg(tmp_path / "seg.dcm", source)

    assert (found.label.array == numbered(labels())).all()


def test_a_source_that_cannot_be_referred_to_is_refused_without_its_patient(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def change(slice_: Dataset, k: int) -> None:
        del slice_.StudyInstanceUID
        slice_.PatientSex = SECRETS[0].upper()
        slice_.PatientName = f"{SECRETS[1]}|{SECRETS[0]}"

    write_series(tmp_path / "series", change=change)
    source = load(tmp_path / "series")
    caplog.clear()

    with pytest.raises(DataError, match="expected a series that a seg") as caught:
        write(tmp_path / "seg.dcm", source, labels())
    told = (str(caught.value) + caplog.text).lower()
    assert not any(secret.lower() in told for secret in SECRETS)
    assert [p.name for p in tmp_path.iterdir()] == ["series"]
