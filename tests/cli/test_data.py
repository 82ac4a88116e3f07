"""Data sets from the command line."""

import inspect
import os
import pty
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from typer.testing import CliRunner

from segpipe.__main__ import app
from segpipe.cli.data import NOTHING_IMPORTED, import_
from segpipe.dataset.layout import read_dataset
from segpipe.project.errors import DataError
from segpipe.tools.importing.conversion import ImportOptions
from tests.support.phantoms import write_dataset
from tests.support.places import ROOT

FOLDERS = ["--images", "scans", "--labels", "masks"]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty one, and beside it three cases as a pair of folders."""
    source = tmp_path / "source"
    write_dataset(source, cases=3)
    (source / "imagesTr").rename(source / "scans")
    (source / "labelsTr").rename(source / "masks")
    project = tmp_path / "project"
    project.mkdir()
    shutil.copy(ROOT / "params.yaml", project)
    monkeypatch.chdir(project)
    return project


def test_import_hands_on_the_names_of_channels_and_structures(project: Path) -> None:
    named = ["--channel", "MR", "--structure", "ball=1", "--structure", "core=3"]
    result = CliRunner().invoke(app, ["import", "../source", "data", *FOLDERS, *named])

    found = read_dataset(project / "data")
    assert "imported 3 cases" in result.output
    assert found.channels == ("MR",)
    assert found.labels == {"background": 0, "ball": 1, "core": 3}


def test_data_that_are_there_are_replaced_only_when_told(project: Path) -> None:
    words = ["import", "../source", "data", *FOLDERS]
    results = [
        CliRunner().invoke(app, [*words, *more]) for more in ([], [], ["--replace"])
    ]

    assert [result.exit_code for result in results] == [0, 1, 0]
    assert isinstance(results[1].exception, DataError)


def test_a_spacing_that_is_no_number_imports_nothing(project: Path) -> None:
    words = ["import", "../source", "data", *FOLDERS, "--spacing-mm", "wide"]
    result = CliRunner().invoke(app, words)

    assert "--spacing-mm wide: expected numbers" in str(result.exception)
    assert not (project / "data").exists()


def test_the_phantom_is_never_written_over_other_data(project: Path) -> None:
    CliRunner().invoke(app, ["import", "../source", "data", *FOLDERS])
    before = sorted((project / "data").rglob("*"))
    result = CliRunner().invoke(app, ["phantom", "data"])

    assert isinstance(result.exception, DataError)
    assert sorted((project / "data").rglob("*")) == before


@pytest.mark.parametrize(
    ("output", "model", "words"),
    [(".", "unet3d", "expected a new folder"), ("new", "a", "expected a section a")],
)
def test_densify_asks_for_a_new_folder_and_a_known_model(
    project: Path, output: str, model: str, words: str
) -> None:
    result = CliRunner().invoke(app, ["densify", output, "--model", model])

    assert isinstance(result.exception, DataError)
    assert words in str(result.exception)
    assert [path.name for path in project.iterdir()] == ["params.yaml"]


def test_the_command_import_has_the_defaults_of_its_options() -> None:
    parameters = inspect.signature(import_).parameters
    shared = [one for one in fields(ImportOptions) if one.name in parameters]

    assert len(shared) > 8
    assert all(parameters[one.name].default == one.default for one in shared)


def test_without_options_the_folder_is_looked_at_and_nothing_is_imported(
    project: Path,
) -> None:
    """A script that is no terminal gets the command, and a status of its own."""
    (project.parent / "source" / "dataset.json").unlink()
    result = CliRunner().invoke(app, ["import", "../source"])

    assert result.exit_code == NOTHING_IMPORTED
    assert not (project / "data").exists()
    line = (
        "  segpipe import ../source --images scans --labels masks "
        "--structure structure_1=1 --structure structure_3=3"
    )
    assert line not in result.output  # the names of the images end in _0000
    assert "segpipe import ../source --images" in result.output


def test_yes_takes_the_proposal_and_data_is_the_default(project: Path) -> None:
    (project.parent / "source" / "dataset.json").unlink()
    result = CliRunner().invoke(app, ["import", "../source", "--yes"])

    assert result.exit_code == 0
    assert len(read_dataset(project / "data").cases) == 3
    again = CliRunner().invoke(app, ["import", "../source", "--yes"])
    assert "--add to join them" in str(again.exception)
    added = CliRunner().invoke(app, ["import", "../source", "--yes", "--add"])
    assert "all 3 cases of this delivery are in data already" in added.output


def test_a_complete_dataset_json_is_imported_at_once(project: Path) -> None:
    write_dataset(project / "delivery", cases=2)
    result = CliRunner().invoke(app, ["import", "delivery"])

    assert "imported 2 cases" in result.output


def test_on_a_terminal_one_y_imports(project: Path) -> None:
    """Two answers to a terminal of its own: no, and yes."""
    (project.parent / "source" / "dataset.json").unlink()
    words = [sys.executable, "-m", "segpipe", "import", "../source"]
    seen = []
    for answer in (b"n\n", b"y\n"):
        ours, theirs = pty.openpty()
        with subprocess.Popen(
            words,
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        ) as process:
            os.write(ours, answer)
            text, _ = process.communicate(timeout=120)
        seen.append((process.returncode, (project / "data").exists()))
        assert b"import so? [y/N]" in text

    assert seen == [(NOTHING_IMPORTED, False), (0, True)]
