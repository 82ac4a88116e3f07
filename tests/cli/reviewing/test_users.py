"""The people of a review from the command line: roles, passwords, whom it lists."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from segpipe.__main__ import app
from segpipe.approval import keys
from segpipe.project.errors import DataError
from tests.support.reviews import CHEAP, password_of

SIGNING = (
    ["decide"],
    ["users", "add"],
    ["users", "password"],
    ["users", "revoke"],
    ["corrections", "deliver"],
)


def segpipe(*words: str) -> Result:
    return CliRunner().invoke(app, ["review", *words])


def add(name: str, *words: str) -> Result:
    file = Path(f"{name}.password")
    file.write_text(f"{password_of(name)}\n")
    file.chmod(0o600)
    given = ["--printed-name", f"Dr {name.title()}", "--password-file", str(file)]
    return segpipe("users", "add", name, *given, *words)


@pytest.fixture(autouse=True)
def _in_a_new_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(keys, "COST", CHEAP)


def test_a_wrong_role_is_named() -> None:
    error = add("ann", "--role", "king").exception

    assert isinstance(error, DataError)
    assert "--role: expected reader, adjudicator, lead, admin, found 'king'" in str(
        error
    )


@pytest.mark.parametrize("command", SIGNING, ids=" ".join)
def test_no_command_takes_a_password_as_an_argument(command: list[str]) -> None:
    page = segpipe(*command, "--help").output.replace("password-file", "")

    assert "--password" not in page
    assert "Example:" in page


def test_everybody_is_listed_with_the_roles() -> None:
    add("ann", "--role", "admin")
    by = ["--by", "ann", "--by-password-file", "ann.password"]
    add("lea", "--role", "lead", "--role", "reader", *by)

    _, first, second = segpipe("users", "list").output.splitlines()
    assert "Dr Ann" in first
    assert "admin" in first
    assert "Dr Lea" in second
    assert "lead, reader" in second
