"""The layout: who belongs to whom, what is missing and what is too much."""

import json
import shutil
import unicodedata
from pathlib import Path

import pytest

from segpipe.dataset.layout import read_dataset
from tests.support.phantoms import write_dataset


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_dataset(tmp_path, cases=4, instances=True)
    return tmp_path


def faults(data: Path) -> str:
    return "\n".join(read_dataset(data).faults)


def test_a_sound_layout_has_no_fault(data: Path) -> None:
    found = read_dataset(data)

    assert found.faults == ()
    assert [case.name for case in found.cases] == [f"case_0{n}" for n in range(4)]
    assert found.cases[2].images == ("imagesTr/case_02_0000.nii",)
    assert found.cases[2].instances == "instancesTr/case_02.nii"
    assert found.cases[2].patient == "case_02"
    assert found.labels == {"background": 0, "ball": 1, "core": 3}


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("imagesTr/case_01_0000.nii", "expected in imagesTr case_01_0000.nii, found"),
        ("labelsTr/case_01.nii", "expected a label labelsTr/case_01.nii, found none"),
        ("instancesTr/case_01.nii", "expected instancesTr/case_01.nii as for other"),
    ],
)
def test_a_missing_file_is_named_with_its_partner(
    file: str, words: str, data: Path
) -> None:
    (data / file).unlink()

    assert words in faults(data)
    assert "case_01" not in [case.name for case in read_dataset(data).cases]


@pytest.mark.parametrize(
    "name",
    ["imagesTr/case_00.nii", "labelsTr/notes.txt", "imagesTr/case_00_0000.nii.gz"],
)
def test_a_stranger_is_named(name: str, data: Path) -> None:
    (data / name).write_bytes(b"")

    assert str(data / name) in faults(data)


def test_hidden_files_are_let_be(data: Path) -> None:
    (data / "labelsTr" / ".DS_Store").write_bytes(b"")

    assert not faults(data)


def test_a_second_channel_that_only_one_case_has_is_too_much(data: Path) -> None:
    file = data / "imagesTr" / "case_03_0000.nii"
    (data / "imagesTr" / "case_03_0001.nii").write_bytes(file.read_bytes())

    assert "case_03_0001.nii" in faults(data)


def test_the_number_of_cases_is_held_to(data: Path) -> None:
    path = data / "dataset.json"
    path.write_text(path.read_text().replace('"numTraining": 4', '"numTraining": 9'))

    assert "expected numTraining 9 label files, found 4" in faults(data)


def test_names_are_one_in_both_of_unicodes_forms(data: Path) -> None:
    """macOS writes the decomposed form."""
    for folder, end in (("imagesTr", "_0000"), ("labelsTr", ""), ("instancesTr", "")):
        form = "NFD" if folder == "imagesTr" else "NFC"
        name = unicodedata.normalize(form, "jürgen")
        old = data / folder / f"case_00{end}.nii"
        old.rename(data / folder / f"{name}{end}.nii")

    found = read_dataset(data)
    assert not found.faults
    assert "jürgen" in [case.name for case in found.cases]


def test_names_that_differ_in_case_only_are_refused(data: Path) -> None:
    for folder, end in (("imagesTr", "_0000"), ("labelsTr", ""), ("instancesTr", "")):
        old = data / folder / f"case_00{end}.nii"
        (data / folder / f"CASE_00{end}.nii").write_bytes(old.read_bytes())

    assert "differ by more than upper and lower case" in faults(data)


ROWS = [f"case_0{n},p{n // 2},north" for n in range(4)]


def write_patients(data: Path, *rows: str, header: str = "case,patient,site") -> None:
    text = "\n".join([header, *rows]) + "\n"
    (data / "patients.csv").write_text(text, encoding="utf-8-sig")


def test_patients_and_free_columns_come_from_patients_csv(data: Path) -> None:
    write_patients(data, *ROWS)
    found = read_dataset(data)

    assert not found.faults
    assert [case.patient for case in found.cases] == ["p0", "p0", "p1", "p1"]
    assert found.cases[0].attributes == {"site": "north"}


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (ROWS[:3], "expected a row for every case, found none for case_03"),
        ([*ROWS, ROWS[0]], "line 6: expected one row a case, found case_00 again"),
        ([*ROWS[:3], "case_9,p,x"], "a case of labelsTr, found case_9"),
        ([*ROWS[:3], "case_03,,x"], "a patient for case_03, found none"),
        ([*ROWS[:3], "case_03,p"], "3 cells, found fewer or more"),
    ],
)
def test_a_fault_of_patients_csv_names_the_line(
    rows: list[str], words: str, data: Path
) -> None:
    write_patients(data, *rows)

    assert words in faults(data)


def test_other_separators_than_commas_are_said(data: Path) -> None:
    write_patients(data, header="case;patient")

    assert "columns case and patient between commas" in faults(data)


def test_ignore_is_no_structure(data: Path) -> None:
    path = data / "dataset.json"
    document = json.loads(path.read_text())
    document["labels"]["ignore"] = 255
    path.write_text(json.dumps(document))
    found = read_dataset(data)

    assert found.ignore == 255
    assert "ignore" not in found.labels


def test_what_other_people_drew_belongs_to_its_case(data: Path) -> None:
    folder = data / "observers" / "anna"
    folder.mkdir(parents=True)
    shutil.copy(data / "labelsTr" / "case_01.nii", folder)
    found = read_dataset(data)

    assert not found.faults
    assert [case.observers for case in found.cases] == [
        {},
        {"anna": "observers/anna/case_01.nii"},
        {},
        {},
    ]
    shutil.copy(data / "labelsTr" / "case_01.nii", folder / "case_09.nii")
    (data / "observers" / "notes.txt").touch()
    assert "case_09.nii: expected a label labelsTr/case_09.nii, found" in faults(data)
    assert "notes.txt: expected a folder for each observer" in faults(data)
