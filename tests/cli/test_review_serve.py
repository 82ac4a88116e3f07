"""The commands of the review: one person, one password, for key and login."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from segpipe.__main__ import app
from segpipe.approval import keys
from segpipe.approval.chain.verification import verify
from segpipe.project.paths import Paths
from segpipe.review.accounts.database import address_of, open_database
from segpipe.review.accounts.users import check_password
from tests.support.dossiers import write_dossier
from tests.support.reviews import CHEAP, password_of, write_policy

ROLES = {"ann": ("admin",), "jane": ("reader",), "tom": ("reader",)}


def run(*words: str) -> tuple[str, BaseException | None]:
    answer = CliRunner().invoke(app, ["review", *words])
    return answer.output, answer.exception


def write(name: str, text: str) -> str:
    """A file with a password for its owner's eyes only."""
    file = Path(f"{name}.password")
    file.write_text(f"{text}\n")
    file.chmod(0o600)
    return str(file)


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a dossier of a version that tom trained, and three people."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(keys, "COST", CHEAP)
    write_dossier(tmp_path / ".reviews/phantom-3", items=2, trainers=("Tom",))
    write_policy(tmp_path)
    for name, roles in ROLES.items():
        file = write(name, password_of(name))
        words = ["--printed-name", f"Dr {name.title()}", "--password-file", file]
        words += [word for role in roles for word in ("--role", role)]
        if name != "ann":
            words += ["--by", "ann", "--by-password-file", "ann.password"]
        assert "may log in and sign as" in run("users", "add", name, *words)[0]
    return tmp_path


def logs_in(root: Path, name: str, password: str) -> bool:
    database = open_database(address_of(Paths(root)))
    return check_password(database, name, password, verify(root).roster) is not None


def test_a_person_is_added_given_cases_and_revoked(project: Path) -> None:
    assert logs_in(project, "jane", password_of("jane"))
    assert run("assign", ".reviews/phantom-3", "jane")[0] == "jane: 2 new of 2 cases\n"
    files = ["--password-file", "jane.password"]
    files += ["--new-password-file", write("new", "other random words")]
    assert run("users", "password", "jane", *files)[1] is None
    assert logs_in(project, "jane", "other random words")
    words = ["--by", "ann", "--reason", "has left", "--password-file", "ann.password"]
    assert run("users", "revoke", "jane", *words)[1] is None
    assert not logs_in(project, "jane", "other random words")


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["assign", ".reviews/none", "jane"], "found no file"),
        (["assign", ".reviews/phantom-3", "john"], "ann, jane, tom, found another"),
        (["assign", ".reviews/phantom-3", "jane", "--adjudicate"], "role adjudicator"),
        (["assign", ".reviews/phantom-3", "tom"], "Dr Tom did (Tom)"),
        (["serve", "--certificate", "a.pem"], "found one"),
    ],
)
def test_what_cannot_be_is_refused(words: list[str], found: str) -> None:
    assert found in str(run(*words)[1])


def test_nobody_is_given_cases_without_a_login_and_the_mend_makes_one(
    project: Path,
) -> None:
    (project / ".reviews/accounts.db").unlink()
    given = ["assign", ".reviews/phantom-3", "jane"]
    assert "`segpipe review users password NAME`" in str(run(*given)[1])
    file = "jane.password"
    files = ["--password-file", file, "--new-password-file", file]

    assert run("users", "password", "jane", *files)[1] is None
    assert run(*given)[0] == "jane: 2 new of 2 cases\n"
