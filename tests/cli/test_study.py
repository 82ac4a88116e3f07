"""Beginning a study, and bringing it up to date, from the command line."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from segpipe.__main__ import app


def test_init_says_what_it_made_and_upgrade_finds_it_up_to_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = CliRunner().invoke(app, ["init", "liver"])
    monkeypatch.chdir(tmp_path / "liver")
    asked = CliRunner().invoke(app, ["upgrade"])

    assert made.exit_code == 0
    assert made.output.startswith("made liver, the study liver: .dvc/.gitignore")
    assert asked.exit_code == 0
    assert "dvc.yaml: up to date\nprefect.yaml: up to date\n" in asked.output
    assert "next:" not in asked.output
    assert "next: `dvc repro`" in CliRunner().invoke(app, ["upgrade", "--yes"]).output
