"""The commands are those of dvc.yaml, with the options that stand there."""

from pathlib import Path

import pytest
from ruamel.yaml import YAML
from typer.main import get_command
from typer.testing import CliRunner

from segpipe.__main__ import app as whole
from segpipe.cli.options import STAGES
from segpipe.cli.stages import app
from tests.support.places import ROOT

DVC = YAML(typ="safe", pure=True).load((ROOT / "dvc.yaml").read_text())["stages"]
COMMANDS = get_command(app).commands


def test_every_stage_of_dvc_yaml_is_a_command_and_in_their_order() -> None:
    assert list(COMMANDS) == list(DVC)
    assert {command.rich_help_panel for command in COMMANDS.values()} == {STAGES}


@pytest.mark.parametrize("stage", DVC)
def test_a_command_takes_the_options_that_dvc_yaml_gives_it(stage: str) -> None:
    words = DVC[stage]["cmd"].split()

    options = [param.opts for param in COMMANDS[stage].params]
    assert options == [[word] for word in words if word.startswith("--")]
    assert all(param.required for param in COMMANDS[stage].params)


@pytest.mark.parametrize("stage", DVC)
def test_a_stage_outside_of_a_project_says_where_to_run_it(
    stage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    given = {"--model": "unet3d", "--fold": "0"}
    options = [word for word in DVC[stage]["cmd"].split() if word in given]
    words = [word for option in options for word in (option, given[option])]

    result = CliRunner().invoke(whole, [stage, *words])

    assert "params.yaml: expected the parameters" in str(result.exception)
    assert not list(tmp_path.iterdir())
