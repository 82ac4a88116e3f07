"""A data folder is written anew as a whole, or stays as it was."""

import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from segpipe.dataset.layout import read_dataset
from segpipe.project.errors import DataError
from segpipe.tools.importing.conversion import ImportOptions
from segpipe.tools.importing.replacing import (
    read_existing,
    refuse_loss,
    replaced,
    sole_import,
    write_patients,
)
from segpipe.tools.importing.run import import_dataset
from tests.support.phantoms import write_dataset
from tests.support.places import ROOT


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


KILLED = """
import os, shutil, sys
from pathlib import Path
from segpipe.tools.importing.conversion import ImportOptions
from segpipe.tools.importing.run import import_dataset
left = int(sys.argv[3])
def counted(owner, name):
    whole = getattr(owner, name)
    def act(place, *words, **more):
        global left
        if Path(place).name.startswith((".data", "data")):
            left -= 1
            if left < 0:
                os.kill(os.getpid(), 9)
        return whole(place, *words, **more)
    setattr(owner, name, act)
counted(Path, "rename")
counted(shutil, "rmtree")
counted(shutil, "copytree")
import_dataset(Path(sys.argv[1]), Path(sys.argv[2]), ImportOptions(add=True))
"""


def test_killed_after_each_step_and_repeated_an_import_ends_the_same(
    tmp_path: Path,
) -> None:
    """Repeated after a kill between the two renames, it left the new cases only."""
    source, old = tmp_path / "source", tmp_path / "old"
    write_dataset(source, cases=2)
    write_dataset(old, cases=1)
    for path in sorted(old.rglob("*case_00*")):
        path.rename(path.with_name(path.name.replace("case_00", "before")))
    for step in range(20):
        data = tmp_path / str(step) / "data"
        shutil.copytree(old, data)
        words = [sys.executable, "-c", KILLED, str(source), str(data), str(step)]
        status = subprocess.run(words, cwd=ROOT, check=False).returncode
        with suppress(DataError):  # the data were in place already
            import_dataset(source, data, ImportOptions(add=True))

        names = sorted(case.name for case in read_dataset(data).cases)
        assert names == ["before", "case_00", "case_01"]
        assert not read_dataset(data).faults
        if status == 0:
            break
        assert status == -9
    assert step > 2


def test_two_imports_at_once_are_one_and_an_error(tmp_path: Path) -> None:
    write_dataset(tmp_path / "source", cases=1)
    data = tmp_path / "project" / "data"

    with (
        sole_import(data),
        pytest.raises(DataError, match="expected no other import at work, found one"),
    ):
        import_dataset(tmp_path / "source", data, ImportOptions())
