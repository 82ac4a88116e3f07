"""Each attack on an approval is refused by the command that it is meant for.

They are made with the files, the tags and the keys themselves; what refuses is the real
command, or MLflow's own loading of the model.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

import mlflow
import pytest
from mlflow.exceptions import MlflowException
from typer.testing import CliRunner, Result

from segpipe.__main__ import app
from segpipe.approval import keys
from segpipe.approval.chain.folder import record_path
from segpipe.approval.chain.verification import verify
from segpipe.approval.protocol import protocol_file
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.registry.store import connect, tracking_uri
from tests.support.approved import (
    CHAMPION,
    about,
    approve,
    let_it_expire,
    let_the_trainer_approve,
    move_by_hand,
    move_to_an_approved_one_by_hand,
    withdraw,
)
from tests.support.phantoms import write_volume
from tests.support.reviews import (
    PEOPLE,
    decision,
    password_of,
    signed,
    write_people,
)
from tests.support.stores import aliases

WORDS = ["--name", "liver", "--why", "better"]
DECIDE = ["--name", "liver", "--approve", "--meaning", "it is fit", "--reason", "good"]


@pytest.fixture
def paths(
    reviewed_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Paths:
    """A copy of the project, the working directory, with an image of a patient."""
    root = tmp_path / "project"
    shutil.copytree(reviewed_once, root)
    monkeypatch.chdir(root)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking_uri(Paths(root)))
    write_volume(root / "in" / "patient.nii.gz")
    for name in PEOPLE:
        file = root / f"{name}.password"
        file.write_text(password_of(name))
        file.chmod(0o600)
    return Paths(root)


def by(name: str) -> list[str]:
    return ["--as", name, "--password-file", f"{name}.password"]


def segpipe(*words: str) -> Result:
    return CliRunner().invoke(app, words)


def load_with_mlflow() -> Result:
    """MLflow alone, as a service would; its own errors are taken for refusals."""
    try:
        mlflow.pyfunc.load_model(CHAMPION)
    except MlflowException as error:
        raise DataError(str(error)) from error
    raise AssertionError("it was loaded")


COMMANDS: dict[str, list[str]] = {
    "segment": ["segment", CHAMPION, "in", "--output", "out", "--device", "cpu"],
    "export": ["export", CHAMPION, "out"],
    "promote": ["promote", "2", *WORDS, *by("lea")],
    "promote the first": ["promote", "1", *WORDS, *by("lea")],
    "promote unsigned": ["promote", "2", *WORDS],
    "promote as a reader": ["promote", "2", *WORDS, *by("rob"), "--emergency"],
    "rollback": ["rollback", *WORDS, *by("lea")],
    "approve as the trainer": ["review", "decide", "2", *DECIDE, *by("max")],
    "mlflow": [],
}
USES = ["segment", "export", "mlflow"]


def nothing(paths: Paths) -> None:
    """Version 1 is approved, and what is asked for concerns version 2."""


def approve_the_number_with_another_digest(paths: Paths) -> None:
    """The signed words say version 2; the digest is that of version 1."""
    subject = about(paths, "1").model_copy(update={"version": "2"})
    signed(decision(subject), "lea", paths.root)


def write_tags_by_hand(paths: Paths) -> None:
    client, _ = connect(paths)
    head = client.get_model_version("liver", "1").tags["review.head"]
    for tag, text in {"review.status": "approved", "review.head": head}.items():
        client.set_model_version_tag("liver", "2", tag, text)
    move_by_hand(paths)


def switch_the_policy_off(paths: Paths) -> None:
    path = protocol_file(paths.root)
    path.write_text(path.read_text().replace("require: true", "require: false"))
    move_by_hand(paths)


def remove_the_policy(paths: Paths) -> None:
    protocol_file(paths.root).unlink()


def withdraw_and_go_back(paths: Paths) -> None:
    approve(paths, "2")
    assert segpipe("promote", "2", *WORDS, *by("lea")).exit_code == 0
    withdraw(paths)


def steal_the_key_without_its_password(paths: Paths) -> None:
    approve(paths, "2")
    (paths.root / "lea.password").write_text("a guess of it")


def edit_a_record(paths: Paths) -> None:
    path = record_path(paths.root, 6)
    path.write_text(path.read_text().replace("all 30 cases", "all 99 cases"))


def cut_the_chain_off(paths: Paths) -> None:
    for number in (6, 7):
        record_path(paths.root, number).unlink()


def write_another_chain(paths: Paths) -> None:
    """New keys under the old names approve and promote version 2."""
    subject = about(paths, "2")
    for folder in ("reviews", ".reviews"):
        shutil.rmtree(paths.root / folder)
    write_people(paths.root)
    for _ in range(3):
        signed(decision(subject, promote=True), "lea", paths.root)
    move_by_hand(paths)


# The attack, the commands that it is meant for, and what each of them says.
ATTACKS: list[tuple[Callable[[Paths], None], list[str], str]] = [
    (nothing, ["promote"], "approvals are of "),
    (approve_the_number_with_another_digest, ["promote"], "no record decides about"),
    (nothing, ["promote unsigned"], "no record decides about the segmenter"),
    (nothing, ["promote as a reader"], "only lead or admin may sign a record"),
    (move_by_hand, USES, "no record decides about the segmenter"),
    (move_to_an_approved_one_by_hand, USES[:2], "it was moved without a record"),
    (write_tags_by_hand, [*USES, "promote"], "no record decides about the segmenter"),
    (let_it_expire, [*USES, "promote the first"], "by Dr Lea expired on 20"),
    (withdraw_and_go_back, ["rollback"], "Dr Lea withdrew its approval of it"),
    (let_the_trainer_approve, USES, "is signed by Dr Max, who trained it"),
    (nothing, ["approve as the trainer"], "did not train it, found that Dr Max did"),
    (switch_the_policy_off, [*USES, "promote"], "no record decides about the segm"),
    (remove_the_policy, USES, "set SEGPIPE_REVIEWS to the folder reviews"),
    (steal_the_key_without_its_password, ["promote"], "found another; nothing was si"),
    (edit_a_record, [*USES, "promote"], "is not what lea signed: it was changed"),
    (cut_the_chain_off, USES[:2], "is missing: MLflow's tag review.head"),
    (write_another_chain, USES[:2], "the chain was rewritten"),
]


@pytest.mark.parametrize(("attack", "commands", "words"), ATTACKS)
def test_an_attack_is_refused_by_the_command_that_it_is_meant_for(
    paths: Paths,
    attack: Callable[[Paths], None],
    commands: list[str],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    attack(paths)
    before = aliases(paths), len(list((paths.root / "reviews/records").iterdir()))
    monkeypatch.setattr(keys, "COST", 2**4)

    for name in commands:
        if name == "mlflow":
            with pytest.raises(DataError) as caught:
                load_with_mlflow()
            error: BaseException | None = caught.value
        else:
            error = segpipe(*COMMANDS[name]).exception
        assert isinstance(error, DataError), (name, error)
        assert words in str(error), name
    after = aliases(paths), len(list((paths.root / "reviews/records").iterdir()))
    assert before == after
    assert not list((paths.root / "out").rglob("*"))


def test_what_is_approved_is_used_by_the_same_commands(paths: Paths) -> None:
    for name in ("segment", "export"):
        assert segpipe(*COMMANDS[name]).exit_code == 0, name
        assert list((paths.root / "out").rglob("*"))
        shutil.rmtree(paths.root / "out")
    with pytest.raises(AssertionError, match="it was loaded"):
        load_with_mlflow()
    approve(paths, "2")

    assert segpipe(*COMMANDS["promote"]).exit_code == 0
    assert segpipe(*COMMANDS["rollback"]).exit_code == 0
    assert aliases(paths) == {"champion": "1", "previous": "2"}
    assert not verify(paths.root).faults
