"""A data folder is written anew as a whole, or stays as it was."""

import shutil
from pathlib import Path

import pytest

from segpipe.project.errors import DataError
from segpipe.tools.importing.conversion import ImportOptions
from segpipe.tools.importing.run import import_dataset
from segpipe.tools.importing.writing.replacing import (
    read_existing,
    replaced,
    sole_import,
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


def test_data_stay_where_a_link_points(tmp_path: Path) -> None:
    data, disk = tmp_path / "project" / "data", tmp_path / "disk" / "images"
    disk.mkdir(parents=True)
    data.parent.mkdir()
    data.symlink_to(disk, target_is_directory=True)
    with sole_import(data), replaced(data) as part:
        (part / "new.txt").write_text("new")

    assert data.is_symlink()
    assert [path.name for path in disk.iterdir()] == ["new.txt"]
    assert [path.name for path in disk.parent.iterdir()] == ["images"]
    assert [path.name for path in data.parent.iterdir()] == ["data"]


def test_data_set_aside_are_never_deleted_for_others_that_came_since(
    tmp_path: Path,
) -> None:
    """Killed between its renames, it left no data; then `dvc checkout` wrote some."""
    data, aside = tmp_path / "data", tmp_path / ".data.before-import"
    for folder in (data, aside, tmp_path / ".data.import"):
        folder.mkdir()
        (folder / "file.txt").write_text(folder.name)

    with (
        pytest.raises(DataError, match=r"before-import: .* delete .*/data, and repeat"),
        sole_import(data),
    ):
        pass
    assert (aside / "file.txt").is_file()
    shutil.rmtree(data)  # the mend
    with sole_import(data):
        assert (data / "file.txt").read_text() == ".data.before-import"
    assert {path.name for path in tmp_path.iterdir()} == {"data"}


def test_two_imports_at_once_are_one_and_an_error(tmp_path: Path) -> None:
    write_dataset(tmp_path / "source", cases=1)
    data = tmp_path / "project" / "data"

    with (
        sole_import(data),
        pytest.raises(
            DataError, match="expected no other process that writes it, found one"
        ),
    ):
        import_dataset(tmp_path / "source", data, ImportOptions())
