import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from segpipe.__main__ import app

ROOT = Path(__file__).parents[1]


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
    "command", [c.callback.__name__ for c in app.registered_commands]
)
def test_every_command_explains_itself(command: str) -> None:
    name = command.removesuffix("_")

    result = CliRunner().invoke(app, [name, "--help"])

    assert result.exit_code == 0
    assert "Usage" in result.output


def test_wrong_data_end_in_one_message_without_a_traceback(tmp_path: Path) -> None:
    result = segpipe("split", cwd=tmp_path)

    assert result.returncode == 1
    assert result.stderr.startswith("error: params.yaml: expected the parameters")
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("models", "words"),
    [("[]", "models: expected a list"), ("[a, a]", "different"), ("[a]", "section a")],
)
def test_a_wrong_list_of_models_says_how_to_write_it(tmp_path, models, words) -> None:
    (tmp_path / "params.yaml").write_text(
        f"format_version: 1\nmodels: {models}\ntrain: {{}}\n"
    )

    result = segpipe("verify", cwd=tmp_path)

    assert result.returncode == 1
    assert words in result.stderr
