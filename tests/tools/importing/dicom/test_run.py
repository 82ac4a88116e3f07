"""Importing DICOM: every voxel at its place, no patient's name, all or nothing."""

import csv
import hashlib
import json
import logging
import os
from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from segpipe.dataset.layout import read_dataset
from segpipe.images.formats.nifti import read_image, read_label
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.stages import verify
from segpipe.tools.importing.conversion import ImportOptions
from segpipe.tools.importing.run import import_dataset
from segpipe.tools.importing.writing.ledger import read_ledger
from tests.support.dicoms import SECRETS, VOXELS
from tests.support.labelled_dicoms import add_rtstruct, add_seg, add_series, drawn
from tests.support.phantoms import write_dataset
from tests.support.projects import VERIFY

REAL = pytest.mark.skipif(
    "SEGPIPE_REAL_DATA" not in os.environ, reason="SEGPIPE_REAL_DATA is not set"
)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Two patients: the first with two series, the second with one, in any nesting."""
    folder = tmp_path / "source"
    both = add_series(folder / "a" / "ct", 1, patient="P1")
    only = add_series(folder / "a" / "later" / "ct", 2, patient="P1")
    other = add_series(folder / "b", 3, patient="P2")
    add_seg(folder / "a" / "both.dcm", both, drawn())
    add_seg(folder / "labels" / "only.dcm", only, drawn(liver=False), {2: "spleen"})
    add_rtstruct(folder / "b" / "rt.dcm", other)
    return folder


def patients(data: Path) -> dict[str, str]:
    with (data / "patients.csv").open() as file:
        return {row["case"]: row["patient"] for row in csv.DictReader(file)}


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_folder_of_dicom_becomes_a_sound_data_set(
    source: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    said = import_dataset(source, data, ImportOptions())

    assert "imported 3 cases with the channels CT" in said
    found = read_dataset(data)
    assert not found.faults
    assert found.labels == {"background": 0, "cord": 1, "liver": 2, "spleen": 3}
    assert (found.channels, found.unit) == (("CT",), "mm")
    assert [case.name for case in found.cases] == ["case_001", "case_002", "case_003"]
    verify.run(VERIFY, networks={"m": 3}, paths=Paths(tmp_path))


def test_every_voxel_keeps_its_value_and_its_place(
    source: Path, tmp_path: Path
) -> None:
    """Series n is VOXELS + n; the affine is that of write_series, in RAS+."""
    import_dataset(source, tmp_path / "data", ImportOptions())

    cord = np.zeros(VOXELS.shape, int)
    cord[3:5, 0:2, 4] = 1
    expected = (
        np.select([drawn() == 1, drawn() == 2], [2, 3]),
        np.where(drawn(liver=False) == 2, 3, 0),
        cord,
    )
    for number, labels in enumerate(expected, start=1):
        file = f"case_{number:03d}"
        image = read_image(tmp_path / "data" / "imagesTr" / f"{file}_0000.nii.gz")
        label = read_label(tmp_path / "data" / "labelsTr" / f"{file}.nii.gz")
        assert (image.array[0] == VOXELS + number).all()
        assert (label.array == labels).all()
        assert label.grid.affine == pytest.approx(image.grid.affine)
        corner = image.grid.points_of(np.zeros((1, 3)))[0]
        assert corner == pytest.approx((90.5, -126.25, -72.0))


def test_studies_of_one_patient_stay_together_and_others_apart(
    source: Path, tmp_path: Path
) -> None:
    import_dataset(source, tmp_path / "data", ImportOptions())

    one, other = (hashlib.sha256(p).hexdigest()[:12] for p in (b"P1", b"P2"))
    assert patients(tmp_path / "data") == {
        "case_001": one,
        "case_002": one,
        "case_003": other,
    }


def test_no_name_of_the_patient_is_written_or_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The folder is called as the patient, too: as archives export it."""
    folder = tmp_path / SECRETS[0]

    def thick(slice_, k):
        slice_.SliceThickness = 9  # is warned of

    image = add_series(folder / SECRETS[1], 1, patient=SECRETS[2], change=thick)
    add_series(folder / "unlabelled", 2, patient=SECRETS[2])
    add_seg(folder / "seg.dcm", image, drawn())
    with caplog.at_level(logging.DEBUG):
        said = import_dataset(folder, tmp_path / "data", ImportOptions())

    told = [said.replace(str(tmp_path), ""), caplog.text.replace(str(tmp_path), "")]
    written = [str(found) for found in contents(tmp_path / "data").items()]
    assert "case_001: SliceThickness is 9 mm" in caplog.text
    assert not [s for s in SECRETS for text in told + written if s in text]


def test_values_are_those_that_were_said(source: Path, tmp_path: Path) -> None:
    said = {"liver": 7, "cord": -2, "spleen": 1}
    import_dataset(source, tmp_path / "data", ImportOptions(structures=said))

    found = read_label(tmp_path / "data" / "labelsTr" / "case_001.nii.gz").array
    assert (found == np.select([drawn() == 1, drawn() == 2], [7, 1])).all()
    assert read_dataset(tmp_path / "data").labels == {"background": 0, **said}


def test_segments_are_merged_renamed_and_left_out_by_the_one_vocabulary(
    source: Path, tmp_path: Path
) -> None:
    for data, said, values in (
        ("merged", {"both": ("liver", "spleen"), "cord": -2}, [1, 1]),
        ("renamed", {"milt": ("spleen",), "myelon": ("cord",)}, [0, 1]),
    ):
        options = ImportOptions(structures=said)
        import_dataset(source, tmp_path / data, options)

        found = read_label(tmp_path / data / "labelsTr" / "case_001.nii.gz").array
        wanted = np.select([drawn() == 1, drawn() == 2], values)
        assert (found == wanted).all()
    left_out = [line.dropped for line in read_ledger(tmp_path / "renamed")]
    assert ("the structure liver",) in left_out


def test_added_cases_count_on_and_take_the_values_that_are_there(
    source: Path, tmp_path: Path
) -> None:
    data, more = tmp_path / "data", tmp_path / "more"
    import_dataset(source, data, ImportOptions())
    before = contents(data)
    add_seg(more / "s.dcm", add_series(more, 4, patient="P2"), drawn())
    import_dataset(more, data, ImportOptions(add=True))

    after = contents(data)
    assert all(after[name] == before[name] for name in before if "Tr" in name)
    assert not read_dataset(data).faults
    assert patients(data)["case_004"] == patients(data)["case_003"]
    found = read_label(data / "labelsTr" / "case_004.nii.gz").array
    assert (found == np.select([drawn() == 1, drawn() == 2], [2, 3])).all()


def test_series_that_are_there_are_left_out_whatever_their_numbers_would_be(
    source: Path, tmp_path: Path
) -> None:
    """A repeated import would otherwise give each patient a second set of cases."""
    data = tmp_path / "data"
    import_dataset(source, data, ImportOptions())
    before = contents(data)
    again = import_dataset(source, data, ImportOptions(add=True))

    assert again == f"all 3 cases of this delivery are in {data} already"
    assert contents(data) == before
    image = add_series(source / "c", 0, patient="P3")  # its UID comes first
    add_seg(source / "labels" / "c.dcm", image, drawn())
    assert "3 more are in" in import_dataset(source, data, ImportOptions(add=True))
    assert not read_dataset(data).faults
    assert len(patients(data)) == 4
    digest = hashlib.sha256(b"P3").hexdigest()[:12]
    assert [who for who in patients(data).values() if who == digest] == [digest]
    after = contents(data)
    assert all(after[name] == before[name] for name in before if "Tr" in name)


def test_new_labels_of_a_series_that_is_there_are_told(
    source: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = tmp_path / "data"
    import_dataset(source, data, ImportOptions())
    image = add_series(tmp_path / "again", 2, patient="P1")
    add_seg(tmp_path / "again" / "s.dcm", image, drawn(spleen=False))
    import_dataset(tmp_path / "again", data, ImportOptions(add=True))

    assert "case_004: the same image as case_002 with other labels" in caplog.text


def test_the_same_series_of_another_patient_is_another_case(tmp_path: Path) -> None:
    source, data = tmp_path / "source", tmp_path / "data"
    for patient in ("P1", "P2"):
        folder = source / patient
        add_seg(folder / "s.dcm", add_series(folder, 1, patient=patient), drawn())
        import_dataset(folder, data, ImportOptions(add=True))

    assert len(set(patients(data).values())) == 2


def test_what_is_there_is_given_up_only_if_it_is_said(
    source: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    write_dataset(data, cases=2)

    with pytest.raises(DataError, match="--add to join them, or --replace"):
        import_dataset(source, data, ImportOptions())
    import_dataset(source, data, ImportOptions(replace=True))
    assert len(read_dataset(data).cases) == 3


def test_a_damaged_last_series_leaves_everything_as_it_was(
    source: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    write_dataset(data, cases=2)
    before = contents(data)
    last = sorted((source / "b").glob("slice*"))[-1]
    last.write_bytes(last.read_bytes()[:-20])

    with pytest.raises(DataError, match=rf"{last.name}: expected whole pixel data"):
        import_dataset(source, data, ImportOptions(replace=True))
    assert contents(data) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "source"]


def test_a_series_without_a_patient_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "source"
    for number in (1, 2):
        image = add_series(folder / str(number), number, patient=" ")
        add_seg(folder / f"{number}.dcm", image, drawn())

    with pytest.raises(DataError, match="expected a PatientID, found none") as error:
        import_dataset(folder, tmp_path / "data", ImportOptions())
    assert len(str(error.value).splitlines()) == 2


def test_folders_that_say_what_they_are_are_not_read_as_dicom(
    source: Path, tmp_path: Path
) -> None:
    write_dataset(source, cases=2)
    import_dataset(source, tmp_path / "data", ImportOptions())

    assert len(read_dataset(tmp_path / "data").cases) == 2
    options = ImportOptions(images="imagesTr", labels="labels")
    with pytest.raises(DataError, match=r"only\.dcm: expected a name that ends in"):
        import_dataset(source, tmp_path / "other", options)


def real(name: str) -> Path:
    return Path(os.environ["SEGPIPE_REAL_DATA"], "dicom", name)


@REAL
@pytest.mark.parametrize(
    ("name", "truth"),
    [
        ("dcmqi_ct3slice", "seg/liver_seg.nrrd"),
        ("dcmqi_24x38x3", "nrrd/label.nrrd"),
    ],
)
def test_real_segmentations_come_in_as_the_truth_beside_them(
    name: str, truth: str, tmp_path: Path
) -> None:
    import_dataset(real(name), tmp_path / "data", ImportOptions())

    found = read_label(tmp_path / "data" / "labelsTr" / "case_001.nii.gz")
    reference = SimpleITK.ReadImage(str(real(name) / truth))
    theirs = SimpleITK.GetArrayFromImage(reference).T > 0
    world = [
        reference.TransformIndexToPhysicalPoint(spot)
        for spot in np.argwhere(theirs).tolist()
    ]
    places = found.grid.indices_of(np.array(world) * (-1, -1, 1))
    i, j, k = np.rint(places).astype(int).T
    assert np.abs(places - np.rint(places)).max() < 0.01
    assert (found.array[i, j, k] == 1).all()
    assert (found.array == 1).sum() == theirs.sum() == (found.array != 0).sum()
    document = json.loads((tmp_path / "data" / "dataset.json").read_text())
    assert document["labels"] == {"background": 0, "Liver": 1}
    verify.run(VERIFY, networks={"m": 2}, paths=Paths(tmp_path))


@REAL
def test_a_real_structure_set_comes_in(tmp_path: Path) -> None:
    folder = tmp_path / "source"
    folder.mkdir()
    for file in ("ct_1.dcm", "ct_2.dcm", "rt.dcm"):
        (folder / file).symlink_to(real("rtstruct_rtutils") / file)
    import_dataset(folder, tmp_path / "data", ImportOptions())

    found = read_dataset(tmp_path / "data")
    assert found.labels == {"background": 0, "ROI-1": 1}
    array = read_label(tmp_path / "data" / "labelsTr" / "case_001.nii.gz").array
    assert array[:, :, 0].any()
    assert not array[:, :, 1].any()
    verify.run(VERIFY, networks={"m": 2}, paths=Paths(tmp_path))


@REAL
def test_structure_sets_of_images_that_are_not_there_are_refused(
    tmp_path: Path,
) -> None:
    with pytest.raises(DataError, match=r"invalid_reference_rt\.dcm: expected"):
        import_dataset(real("rtstruct_rtutils"), tmp_path / "data", ImportOptions())
