"""Reviews from the command line: people, a decision, its proof."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from segpipe.__main__ import app
from segpipe.approval import keys
from segpipe.project.errors import DataError
from tests.support.reviews import CHEAP, decision, password_of, signed


def segpipe(*words: str) -> Result:
    return CliRunner().invoke(app, ["review", *words])


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with passwords of ann and lea, for their eyes only."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(keys, "COST", CHEAP)
    for name in ("ann", "lea"):
        file = tmp_path / f"{name}.password"
        file.write_text(f"{password_of(name)}\n")
        file.chmod(0o600)
    return tmp_path


def add(name: str, *words: str) -> Result:
    printed = f"Dr {name.title()}"
    file = f"{name}.password"
    given = ["--printed-name", printed, "--password-file", file]
    return segpipe("users", "add", name, *given, *words)


def test_people_sign_and_everybody_can_verify_it(project: Path) -> None:
    assert "wrote review.yaml" in segpipe("init").output
    assert add("ann", "--role", "admin").output.startswith(
        "record 1: ann may log in and sign"
    )
    by = ["--by", "ann", "--by-password-file", "ann.password"]
    assert add("lea", "--role", "lead", "--role", "reader", *by).exit_code == 0
    signed(decision(), "lea", project)
    words = ["--by", "ann", "--reason", "has left", "--password-file", "ann.password"]
    assert (
        "lea logs in and signs nothing more"
        in segpipe("users", "revoke", "lea", *words).output
    )

    assert "in record 4" in segpipe("users", "list").output
    assert "fit for use" in segpipe("show", "3").output
    assert segpipe("verify").output.startswith("4 records: ")
    (project / "reviews" / "records" / "000003.json").unlink()
    broken = segpipe("verify")
    assert broken.exit_code == 1
    assert "record 3 is missing before record 4" in broken.output


@pytest.mark.parametrize("words", [[], ["--approve", "--reject"]])
def test_a_decision_is_one_of_three(project: Path, words: list[str]) -> None:
    given = ["--as", "ann", "--meaning", "m", "--reason", "r", *words]

    error = segpipe("decide", "1", *given).exception

    assert isinstance(error, DataError)
    assert "expected one of them, found" in str(error)


def test_a_wrong_role_is_named(project: Path) -> None:
    error = add("ann", "--role", "king").exception

    assert isinstance(error, DataError)
    assert "--role: expected reader, adjudicator, lead, admin, found 'king'" in str(
        error
    )


def test_no_command_takes_a_password_as_an_argument() -> None:
    for command in (
        ["decide"],
        ["users", "add"],
        ["users", "password"],
        ["users", "revoke"],
    ):
        page = segpipe(*command, "--help").output.replace("password-file", "")

        assert "--password" not in page
