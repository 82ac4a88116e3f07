import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from typer.main import get_command
from typer.testing import CliRunner

from segpipe.__main__ import app
from segpipe.cli.options import REGISTRY, STAGES, TOOLS
from tests.support.places import ROOT

COMMANDS = get_command(app).commands


def segpipe(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "segpipe", *words],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "100"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom segpipe.__main__ import app\n"
        "try:\n    app(['--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'monai', 'mlflow', 'prefect', 'numpy', 'scipy'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )

    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )

    assert result.stderr.strip() == "[]"


@pytest.mark.parametrize(
    ("given", "expected"), [({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE")]
)
def test_threads_of_a_command_wait_without_spinning(
    given: dict[str, str], expected: str
) -> None:
    """OpenMP itself says what it read. The user's own choice stays."""
    environment = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
    result = subprocess.run(
        [sys.executable, "-m", "segpipe", "--version"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env={**environment, **given, "OMP_DISPLAY_ENV": "TRUE"},
    )

    assert f"OMP_WAIT_POLICY = '{expected}'" in result.stderr


def test_every_stage_starts_by_the_command_line() -> None:
    """So whatever the door sets holds where flows and dvc train, too."""
    lines = (ROOT / "dvc.yaml").read_text().splitlines()
    started = [line.split("cmd: ")[1] for line in lines if "cmd: " in line]

    assert len(started) == 11
    assert all(words.startswith("python -m segpipe ") for words in started)


def test_a_command_ends_without_a_last_look_for_garbage(tmp_path: Path) -> None:
    """It takes a second of silence after the last line with MLflow, more on busy days.

    What is registered first runs last.
    """
    code = (
        "import atexit, gc, sys\n"
        "atexit.register(lambda: print(gc.get_freeze_count() > 10_000))\n"
        "sys.argv = ['segpipe', '--help']\n"
        "from segpipe.__main__ import main\n"
        "main()"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-c", code]

    said = subprocess.check_output(words, cwd=tmp_path, env=environment, text=True)

    assert said.splitlines()[-1] == "True"


def test_the_panels_stand_in_their_order() -> None:
    panels = [command.rich_help_panel for command in COMMANDS.values()]

    assert list(dict.fromkeys(panels)) == [STAGES, TOOLS, REGISTRY]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    result = CliRunner().invoke(app, [command, "--help"])

    assert result.exit_code == 0
    assert "Usage" in result.output


def test_the_version_names_what_decides_a_result_and_completion_is_offered() -> None:
    said = CliRunner().invoke(app, ["--version"])

    assert said.exit_code == 0
    assert f"segpipe {version('segpipe')}, python {platform.python_version()}" in (
        said.output
    )
    assert f"torch {torch.__version__}, " in said.output
    assert "--install-completion" in CliRunner().invoke(app, ["--help"]).output


def test_wrong_data_end_in_one_message_without_a_traceback(tmp_path: Path) -> None:
    result = segpipe("split", cwd=tmp_path)

    assert result.returncode == 1
    assert result.stderr.startswith("error: params.yaml: expected the parameters")
    assert "Traceback" not in result.stderr


def test_what_may_not_be_read_ends_in_one_message(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").touch(mode=0)
    if os.access(tmp_path / "params.yaml", os.R_OK):
        pytest.skip("root may read everything")

    result = segpipe("split", cwd=tmp_path)

    assert result.returncode == 1
    assert result.stderr.startswith("error: ")
    assert "params.yaml: expected a file or folder that may be used" in result.stderr
    assert "Traceback" not in result.stderr
