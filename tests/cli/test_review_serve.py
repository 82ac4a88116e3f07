"""The commands of the review reach the accounts and never take a password in words."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from segpipe.__main__ import app
from tests.support.dossiers import write_dossier
from tests.support.readers import PASSWORD

ADD = ["accounts", "add", "jane", "--printed-name", "Dr Jane", "--role", "reader"]


def run(*words: str, typed: str = "") -> tuple[str, BaseException | None]:
    answer = CliRunner().invoke(app, ["review", *words], input=typed)
    return answer.output, answer.exception


def test_a_person_is_added_given_cases_and_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_dossier(tmp_path / ".reviews/phantom-3", items=2)

    assert run(*ADD, typed=f"{PASSWORD}\n") == ("jane may log in\n", None)
    assert run("assign", ".reviews/phantom-3", "jane")[0] == "jane: 2 new of 2 cases\n"
    assert run("accounts", "password", "jane", typed="other random words\n")[1] is None
    assert run("accounts", "close", "jane")[1] is None
    assert run("accounts", "list")[0] == "jane: Dr Jane, reader, closed\n"


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["assign", ".reviews/none", "jane"], "found no file"),
        (["assign", ".reviews/phantom-3", "john"], "found none of this name"),
        (["assign", ".reviews/phantom-3", "jane", "--adjudicate"], "role adjudicator"),
        (["serve", "--certificate", "a.pem"], "found one"),
    ],
)
def test_what_cannot_be_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], found: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_dossier(tmp_path / ".reviews/phantom-3", items=1)
    run(*ADD, typed=f"{PASSWORD}\n")

    assert found in str(run(*words)[1])
