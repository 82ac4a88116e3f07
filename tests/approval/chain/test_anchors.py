"""What stands outside of the chain shows what was done to all of it."""

import shutil
import subprocess
from pathlib import Path

import pytest

from segpipe.approval.chain.anchors import parse_anchor
from segpipe.approval.chain.folder import record_path
from segpipe.approval.chain.verification import verify
from segpipe.project.errors import DataError
from tests.support.reviews import decision, signed, write_chain


def git(root: Path, *words: str) -> None:
    who = ["-c", "user.name=x", "-c", "user.email=x@x", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *who, *words], cwd=root, check=True, capture_output=True)


@pytest.fixture(params=["sha1", "sha256"])
def committed(root: Path, request: pytest.FixtureRequest) -> Path:
    git(root, "init", "--quiet", f"--object-format={request.param}")
    (root / ".gitignore").write_text("/.reviews/\n")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "-m", "review")
    return root


def test_a_committed_chain_is_whole_and_grows(committed: Path) -> None:
    signed(decision(), "lea", committed)

    assert verify(committed, git=True).faults == ()


def test_what_git_holds_cannot_be_cut_off_even_by_a_commit(committed: Path) -> None:
    record_path(committed, 12).unlink()
    git(committed, "commit", "--quiet", "--all", "-m", "cut")

    assert not verify(committed).faults
    (fault,) = verify(committed, git=True).faults
    assert "record 12 is missing: git commit" in fault


def test_what_git_holds_cannot_be_rewritten_even_by_a_commit(committed: Path) -> None:
    shutil.rmtree(committed / "reviews")
    shutil.rmtree(committed / ".reviews")
    write_chain(committed)
    git(committed, "add", "--all")
    git(committed, "commit", "--quiet", "-m", "again")

    assert not verify(committed).faults
    faults = verify(committed, git=True).faults
    assert len(faults) == 12
    assert "record 1 is another one than in git commit" in faults[0]


@pytest.mark.parametrize(
    ("lack", "words"),
    [
        ("owner", "dubious ownership.*safe.directory"),
        ("git", "git does not start"),
        ("HEAD", "not a git repository"),
    ],
)
def test_a_git_that_does_not_answer_does_not_agree(
    root: Path, monkeypatch: pytest.MonkeyPatch, lack: str, words: str
) -> None:
    git(root, "init", "--quiet")
    git(root, "add", "reviews")
    git(root, "commit", "--quiet", "-m", "review")
    record_path(root, 12).unlink()
    if lack == "owner":
        monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    elif lack == "git":
        monkeypatch.setenv("PATH", "")
    else:
        (root / ".git/HEAD").unlink()

    with pytest.raises(DataError, match=words) as refused:
        verify(root, git=True)

    if lack == "owner":
        monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(root / "gitconfig"))
        advice = str(refused.value).split("`")[1]
        subprocess.run(advice.split(), check=True)
        assert "the chain was cut off" in verify(root, git=True).faults[0]


def test_a_tag_is_enough_where_the_branch_was_rewritten(committed: Path) -> None:
    git(committed, "tag", "reviewed")
    record_path(committed, 12).unlink()
    git(committed, "add", "--all")
    git(committed, "commit", "--quiet", "--amend", "-m", "never was more")

    (fault,) = verify(committed, git=True).faults
    assert "record 12 is missing" in fault


@pytest.mark.parametrize(
    "text", ["", "12", "0:" + "a" * 64, "1:" + "a" * 63, "1:A" * 9]
)
def test_an_anchor_is_written_as_number_and_digest(text: str) -> None:
    assert parse_anchor(f"7:{'a' * 64}", "paper").number == 7
    with pytest.raises(DataError, match="--head: expected NUMBER:DIGEST"):
        parse_anchor(text, "--head")
