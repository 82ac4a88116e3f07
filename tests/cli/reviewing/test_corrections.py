"""Corrections from the command line: what is there, and what is refused."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from segpipe.__main__ import app
from segpipe.approval import keys
from segpipe.project.errors import DataError
from tests.support.reviews import CHEAP, password_of, write_people


def segpipe(*words: str) -> Result:
    return CliRunner().invoke(app, ["review", "corrections", *words])


@pytest.fixture(autouse=True)
def _people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(keys, "COST", CHEAP)
    write_people(tmp_path)


def test_nothing_is_listed_before_anybody_corrected() -> None:
    assert "no corrections" in segpipe("list").output


def test_a_record_that_is_no_correction_is_not_applied() -> None:
    error = segpipe("apply", "1").exception

    assert isinstance(error, DataError)
    assert "correction" in str(error)


def test_a_map_that_segment_did_not_write_is_not_delivered(tmp_path: Path) -> None:
    file = tmp_path / "rob.password"
    file.write_text(password_of("rob"))
    file.chmod(0o600)
    (tmp_path / "mask.nii.gz").write_bytes(b"")
    words = ["mask.nii.gz", "mask.nii.gz", "--image", "mask.nii.gz", "--patient", "p7"]
    words += ["--inbox", "in", "--as", "rob", "--password-file", str(file)]

    error = segpipe("deliver", *words).exception

    assert isinstance(error, DataError)
    assert "mask" in str(error)
