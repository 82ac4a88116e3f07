"""Reviews from the command line: people, a decision, its proof."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from segpipe.__main__ import app
from segpipe.approval import keys
from segpipe.approval.chain.verification import verify
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.review.accounts.database import address_of, open_database
from segpipe.review.accounts.users import check_password
from tests.support.dossiers import write_dossier
from tests.support.reviews import CHEAP, decision, password_of, signed, write_policy


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


@pytest.fixture
def staffed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a dossier of a version that tom trained, and three people."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(keys, "COST", CHEAP)
    write_dossier(tmp_path / ".reviews/phantom-3", items=2, trainers=("Tom",))
    write_policy(tmp_path, per_case="1")
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


def test_a_person_is_added_given_cases_and_revoked(staffed: Path) -> None:
    assert logs_in(staffed, "jane", password_of("jane"))
    given = run("assign", ".reviews/phantom-3", "jane")[0]
    assert given == "jane: 2 new, 2 of 2 cases\n"
    assert "2 signatures of readers" in run("status", "phantom", "3")[0]
    files = ["--password-file", "jane.password"]
    files += ["--new-password-file", write("new", "other random words")]
    assert run("users", "password", "jane", *files)[1] is None
    assert logs_in(staffed, "jane", "other random words")
    words = ["--by", "ann", "--reason", "has left", "--password-file", "ann.password"]
    assert run("users", "revoke", "jane", *words)[1] is None
    assert not logs_in(staffed, "jane", "other random words")


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["assign", ".reviews/none", "jane"], "found no file"),
        (["assign", ".reviews/phantom-3", "john"], "ann, jane, tom, found another"),
        (["assign", ".reviews/phantom-3", "ann"], "role reader, found admin"),
        (["status", "phantom", "4"], "expected a dossier, found no file"),
        (["assign", ".reviews/phantom-3", "tom"], "Dr Tom did (Tom)"),
        (["serve", "--certificate", "a.pem"], "found one"),
    ],
)
@pytest.mark.usefixtures("staffed")
def test_what_cannot_be_is_refused(words: list[str], found: str) -> None:
    assert found in str(run(*words)[1])


def test_nobody_is_given_cases_without_a_login_and_the_mend_makes_one(
    staffed: Path,
) -> None:
    (staffed / ".reviews/accounts.db").unlink()
    given = ["assign", ".reviews/phantom-3", "jane"]
    assert "`segpipe review users password NAME`" in str(run(*given)[1])
    file = "jane.password"
    files = ["--password-file", file, "--new-password-file", file]

    assert run("users", "password", "jane", *files)[1] is None
    assert run(*given)[0] == "jane: 2 new, 2 of 2 cases\n"
