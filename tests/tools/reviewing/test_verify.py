"""The chain is compared with all that is known of it elsewhere."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from segpipe.__main__ import app
from segpipe.approval.chain.folder import record_path
from segpipe.approval.records import LIMIT_BYTES, AnchorNote
from segpipe.project.errors import DataError
from segpipe.project.origin.study import FILE
from segpipe.project.paths import Paths
from segpipe.registry.store import connect, tracking_uri
from segpipe.tools.reviewing.verify import verify
from segpipe.tools.study.files import describe_study
from tests.support.reviews import (
    OTHER,
    digest_of,
    document,
    forge,
    put,
    reading,
    signed,
    write_chain,
)


def test_a_whole_chain_prints_its_head(project: Paths) -> None:
    proof = verify([], project)

    assert proof.whole
    assert proof.lines[0].startswith("12 records: each follows the one before")
    assert f"head 12:{digest_of(project.root, 12)};" in proof.lines[2]


@pytest.mark.parametrize("place", ["head", "tag", "note"])
def test_each_anchor_is_compared(project: Paths, place: str) -> None:
    wrong, heads = f"10:{OTHER}", []
    if place == "head":
        heads = [wrong]
    elif place == "tag":
        connect(project)[0].set_model_version_tag("liver", "1", "review.head", wrong)
    else:
        note = AnchorNote(place="the dossier of May", head=10, digest=OTHER)
        signed(note, "ann", project.root)

    proof = verify(heads, project)

    assert not proof.whole
    assert proof.lines[0] == "the first broken link:"
    assert (
        f"record 10 has the digest {digest_of(project.root, 10)[:12]}, but"
        in (proof.lines[1])
    )


@pytest.mark.parametrize(
    ("study", "whole"), [("another", True), (None, False)], ids=["another's", "own"]
)
def test_a_tag_of_a_name_of_which_the_chain_says_nothing(
    project: Paths, monkeypatch: pytest.MonkeyPatch, study: str | None, whole: bool
) -> None:
    """It is of another project's chain on the same MLflow, or of what was cut off."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking_uri(project))
    home = Paths(project.root / "another") if study else project
    if study:
        home.root.mkdir()
        describe_study(study, {}).write(home.root / FILE)
    (home.root / "m").mkdir(exist_ok=True)
    client, experiment = connect(home)
    run = client.create_run(experiment).info.run_id
    client.create_registered_model("spleen")
    client.create_model_version("spleen", str(home.root / "m"), run)
    client.set_model_version_tag("spleen", "1", "review.head", f"7:{OTHER}")

    assert verify([], project).whole is whole


def test_a_broken_chain_names_its_first_broken_link(project: Paths) -> None:
    record_path(project.root, 4).unlink()

    proof = verify([], project)

    assert not proof.whole
    assert "record 4 is missing before record 5" in proof.lines[1]


def test_nothing_is_made_where_there_is_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    proof = verify([], Paths(tmp_path))

    assert proof.whole
    assert "no records yet" in proof.lines[0]
    assert not list(tmp_path.iterdir())
    with pytest.raises(DataError, match="--head 12: expected NUMBER:DIGEST"):
        verify(["12"], Paths(tmp_path))


@pytest.fixture(scope="module")
def anchored(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The chain of twelve records, of which a commit and a tag in MLflow know."""
    root = tmp_path_factory.mktemp("anchored") / "project"
    shutil.copytree(made, root)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        client, _ = connect(Paths(root))
        head = f"12:{digest_of(root, 12)}"
        client.set_model_version_tag("liver", "1", "review.head", head)
    who = ["-c", "user.name=ann", "-c", "user.email=ann@lab"]
    for words in (["init", "-q"], ["add", "reviews"], ["commit", "-qm", "Approve"]):
        subprocess.run(["git", *who, *words], cwd=root, check=True)
    return root


@pytest.fixture
def tampered(anchored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, the working directory."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copytree(anchored, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


def prove() -> tuple[int, list[str]]:
    """Status and lines of the command itself."""
    result = CliRunner().invoke(app, ["review", "verify"])
    return result.exit_code, result.output.splitlines()


def edit(root: Path) -> None:
    values = document(root, 10)
    values["content"]["reason"] = "all 300 cases are acceptable"
    put(root, 10, values)


def lay_out_anew(root: Path) -> None:
    path = record_path(root, 8)
    path.write_text(json.dumps(json.loads(path.read_bytes())))


def swap(root: Path) -> None:
    one, other = record_path(root, 6), record_path(root, 7)
    one.rename(root / "spare")
    other.rename(one)
    (root / "spare").rename(other)


def delete_in_the_middle(root: Path) -> None:
    record_path(root, 7).unlink()


def insert(root: Path) -> None:
    """A reading that rob truly signs; the records after it move on by one."""
    for number in (12, 11, 10):
        record_path(root, number).rename(record_path(root, number + 1))
    forge(root, 10, reading("c3"), "rob", "reader")


def cut_the_end_off(root: Path) -> None:
    """The revocation and what follows: ray's stolen key would sign again."""
    for number in (11, 12):
        record_path(root, number).unlink()


def rewrite(root: Path) -> None:
    """Everybody gets a new key of the forger's, and all signatures are right."""
    shutil.rmtree(root / "reviews")
    shutil.rmtree(root / ".reviews")
    write_chain(root)


def swell(root: Path) -> None:
    os.truncate(record_path(root, 9), LIMIT_BYTES + 1)


def link(root: Path) -> None:
    """To the very same bytes, which change later."""
    record_path(root, 12).rename(root / "elsewhere")
    record_path(root, 12).symlink_to(root / "elsewhere")


def sign_with_a_revoked_key_and_date_back(root: Path) -> None:
    """Record 11 revoked the key of ray; the reading claims the time of record 9."""
    time = document(root, 9)["time"]
    forge(root, 13, reading("c3"), "ray", "reader", time=time)


# What is done to the chain, the first broken link, and what is said of it.
TAMPERINGS: list[tuple[Callable[[Path], None], int, str]] = [
    (edit, 10, "is not what lea signed: it was changed"),
    (lay_out_anew, 8, "is not in the layout in which records are written"),
    (swap, 6, "says that it is number 7: it was moved"),
    (delete_in_the_middle, 7, "is missing before record 8"),
    (insert, 10, "is another one than in git commit"),
    (cut_the_end_off, 11, "holds it, so the chain was cut off"),
    (rewrite, 1, "is another one than in git commit"),
    (swell, 9, "has 1000001 bytes, more than the 1000000 of a record"),
    (link, 12, "is no plain file"),
    (sign_with_a_revoked_key_and_date_back, 13, "ray, which record 11 had revoked"),
]


@pytest.mark.parametrize(
    ("tamper", "number", "words"),
    TAMPERINGS,
    ids=lambda one: getattr(one, "__name__", ""),
)
def test_each_of_ten_tamperings_is_found_and_its_first_broken_link_named(
    tampered: Path, tamper: Callable[[Path], None], number: int, words: str
) -> None:
    before = prove()
    assert before[0] == 0, before
    tamper(tampered)

    status, lines = prove()

    assert status == 1
    assert lines[0] == "the first broken link:"
    assert lines[1].startswith(f"{Path('reviews/records') / f'{number:06d}.json'}: ")
    about = [line for line in lines if f": record {number} " in line]
    assert any(words in line for line in about), lines


@pytest.mark.parametrize("gone", ["git", "mlflow"])
@pytest.mark.parametrize("tamper", [cut_the_end_off, rewrite])
def test_one_anchor_suffices(
    tampered: Path, tamper: Callable[[Path], None], gone: str
) -> None:
    """The forger reached one of the two, too."""
    tamper(tampered)
    shutil.rmtree(tampered / ".git") if gone == "git" else (
        tampered / "mlflow.db"
    ).unlink()

    status, lines = prove()

    assert status == 1
    assert lines[0] == "the first broken link:"
