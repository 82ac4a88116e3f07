"""A data folder is written anew as a whole, or stays as it was."""

from pathlib import Path

import pytest

from segpipe.project.errors import DataError
from segpipe.tools.importing.conversion import ImportOptions
from segpipe.tools.importing.replacing import (
    read_existing,
    refuse_loss,
    replaced,
    write_patients,
)
from tests.support.phantoms import write_dataset


def test_the_new_folder_takes_the_place_of_the_old(tmp_path: Path) -> None:
    data = tmp_path / "data"
    write_dataset(data, cases=1)
    with replaced(data) as part:
        (part / "new.txt").write_text("new")

    assert [path.name for path in data.iterdir()] == ["new.txt"]
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_fault_leaves_the_old_folder(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "old.txt").write_text("old")
    with pytest.raises(FileExistsError), replaced(data) as part:
        part.mkdir()

    assert [path.name for path in data.iterdir()] == ["old.txt"]
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_what_a_killed_import_set_aside_comes_back(tmp_path: Path) -> None:
    """Killed between its two renames, it leaves the old data under another name."""
    data, aside = tmp_path / "data", tmp_path / ".data.before-import"
    aside.mkdir()
    (aside / "old.txt").write_text("old")
    with pytest.raises(DataError), replaced(data):
        raise DataError("fault")

    assert (data / "old.txt").read_text() == "old"


def test_loss_is_refused_unless_it_is_said(tmp_path: Path) -> None:
    refuse_loss(tmp_path / "none", ImportOptions())
    write_dataset(tmp_path / "data", cases=1)
    with pytest.raises(DataError, match="found other data"):
        refuse_loss(tmp_path / "data", ImportOptions())
    with pytest.raises(DataError, match="found both"):
        refuse_loss(tmp_path / "data", ImportOptions(add=True, replace=True))
    refuse_loss(tmp_path / "data", ImportOptions(replace=True))


def test_an_empty_folder_is_no_data_to_join(tmp_path: Path) -> None:
    assert read_existing(tmp_path, ImportOptions(add=True)) is None
    write_dataset(tmp_path / "data", cases=1)
    assert read_existing(tmp_path / "data", ImportOptions()) is None
    assert read_existing(tmp_path / "data", ImportOptions(add=True)) is not None


def test_cases_without_patients_become_patients_when_others_have_some(
    tmp_path: Path,
) -> None:
    old, part = tmp_path / "data", tmp_path / "part"
    write_dataset(old, cases=2)
    part.mkdir()
    new = [{"case": "x", "patient": "p"}, {"case": "elsewhere", "patient": "q"}]
    write_patients(part, new, ["x"], old)

    assert (part / "patients.csv").read_text().split() == [
        "case,patient",
        "case_00,case_00",
        "case_01,case_01",
        "x,p",
    ]
