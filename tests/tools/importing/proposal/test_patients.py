"""Patients come from a table, or from names that end in a side."""

from pathlib import Path

from segpipe.tools.importing.conversion import ImportOptions
from segpipe.tools.importing.proposal.patients import propose_patients


def test_eyes_of_one_person_are_one_patient(tmp_path: Path) -> None:
    cases = ["Image_01L", "Image_01R", "Image_02L", "Image_02R"]
    options, line = propose_patients(ImportOptions(), tmp_path, cases)

    assert options.patient_pattern == "(.+?)[-_ ]?[LR]"
    assert "2, as the names end in two sides" in line


def test_other_names_are_patients_of_their_own(tmp_path: Path) -> None:
    for cases in (["a", "b"], ["1L", "2R"], ["1L", "1R", "x"]):
        options, line = propose_patients(ImportOptions(), tmp_path, cases)

        assert options == ImportOptions()
        assert f"{len(cases)}, each case one" in line


def test_a_table_of_patients_is_taken(tmp_path: Path) -> None:
    (tmp_path / "index.csv").write_text("file,size\n")
    (tmp_path / "who.csv").write_text("case,patient,site\n1L,a,x\n")
    options, line = propose_patients(ImportOptions(), tmp_path, ["1L", "1R"])

    assert options.patients == tmp_path / "who.csv"
    assert line == "patients: from who.csv"
