"""DICOM folders and masks beside them are paired by the names of the folders."""

from pathlib import Path

import pytest

from segpipe.tools.importing.conversion import ImportOptions
from segpipe.tools.importing.proposal.look import look
from segpipe.tools.importing.proposal.standards.dicom import find_series_layouts
from tests.support.dicoms import write_series
from tests.support.sources import box, write_nifti


@pytest.mark.parametrize(
    ("series", "mask", "images", "labels"),
    [
        ("dicom/{}", "masks/{}.nii.gz", "dicom/{case}/", "masks/{case}.nii.gz"),
        # A folder of the series' UID inside that of the patient.
        ("{}/1.2.3", "{}_mask.nii", "{case}/", "{case}_mask.nii"),
        ("{}/dicom", "{}/liver.nii", "{case}/", "{case}/liver.nii"),
    ],
)
def test_series_and_masks_are_paired_by_names(
    series: str, mask: str, images: str, labels: str, tmp_path: Path
) -> None:
    for case in ("p01", "p02"):
        write_series(tmp_path / series.format(case))
        write_nifti(tmp_path / mask.format(case), box(1, 4))
    found = look(tmp_path)

    name = "liver" if "liver" in labels else "structure_1"
    assert found.proposals == (
        ImportOptions(
            images=images, labels=labels, channels=("CT",), structures={name: 1}
        ),
    )
    assert "patients: by PatientID, of which a digest is kept" in found.lines


def test_dicom_without_masks_is_left_alone(tmp_path: Path) -> None:
    write_series(tmp_path / "p01")

    assert find_series_layouts(tmp_path, []) == []
    assert find_series_layouts(tmp_path, ["preview.png"]) == []
