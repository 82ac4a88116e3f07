"""Commands end with their output or with the end of it; the flow's log has it all."""

import logging
import sys
from pathlib import Path

import pytest
from prefect import flow

from flows.running.commands import CommandError, environ, git, output, stream

SAYS = """\
import sys
print("first")
print("To track the changes with git, run:")
print("second", flush=True)
sys.exit(int(sys.argv[1]))
"""


@pytest.fixture
def folder(tmp_path: Path) -> str:
    (tmp_path / "says.py").write_text(SAYS)
    return str(tmp_path)


def test_the_output_of_a_module(folder: str) -> None:
    assert output(folder, ["says", "0"]).splitlines()[::2] == ["first", "second"]


def test_a_failure_shows_what_the_command_wrote(folder: str) -> None:
    with pytest.raises(CommandError, match="says 3:\nfirst"):
        output(folder, ["says", "3"])

    assert output(folder, ["says", "3"], missing="none") == "none"


def test_git_answers_without_white_space_around(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "--initial-branch", "main")

    assert git(tmp_path, "symbolic-ref", "--short", "HEAD") == "main"
    with pytest.raises(CommandError, match="git rev-parse HEAD"):
        git(tmp_path, "rev-parse", "HEAD")


def test_commands_find_this_environments_programs_first() -> None:
    assert environ()["PATH"].startswith(str(Path(sys.executable).parent))


def test_a_flow_logs_its_command_without_hints_for_a_terminal(
    folder: str, prefect_api: str, caplog: pytest.LogCaptureFixture
) -> None:
    @flow
    def say(status: str) -> list[str]:
        return stream(folder, ["says", status])

    with caplog.at_level(logging.INFO):
        assert say("0") == ["first", "second"]
    assert "first" in caplog.messages
    with pytest.raises(CommandError, match="says 3 ended with 3:\nfirst\nsecond"):
        say("3")


def test_a_watcher_that_raises_ends_the_command(folder: str, prefect_api: str) -> None:
    (Path(folder) / "sleeps.py").write_text(
        'import time\nprint("begins", flush=True)\ntime.sleep(600)\n'
    )

    def refuse(line: str) -> None:
        raise ValueError(line)

    @flow
    def wait() -> None:
        stream(folder, ["sleeps"], watch=refuse)

    with pytest.raises(ValueError, match="begins"):
        wait()
