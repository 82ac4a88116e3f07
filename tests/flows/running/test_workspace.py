"""Commits for other machines leave the branch and the index at hand alone."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from flows.running.commands import CommandError, git
from flows.running.workspace import branch_of, check_out, commit_run, remote_of
from segpipe.project.errors import DataError


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    (root / "segpipe").mkdir(parents=True)
    (root / "params.yaml").write_text("a: 1\n")
    (root / "segpipe" / "code.py").write_text("1\n")
    git(root, "init", "--quiet")
    git(root, "config", "user.email", "a@b")
    git(root, "config", "user.name", "a")
    git(root, "add", ".")
    git(root, "commit", "--quiet", "--message", "start")
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q"], cwd=root, check=True)
    git(root, "commit", "--quiet", "--message", "dvc")
    return root


def test_nothing_changed_is_the_commit_at_hand(project: Path) -> None:
    assert commit_run(project) == git(project, "rev-parse", "HEAD")
    assert git(project, "branch", "--list", "segpipe/*") == ""


def test_params_and_lock_go_to_a_branch_and_nothing_here_moves(project: Path) -> None:
    (project / "params.yaml").write_text("a: 2\n")
    (project / "dvc.lock").write_text("new\n")
    (project / "split.lock").write_text("sides\n")
    (project / "staged.txt").write_text("mine\n")
    git(project, "add", "staged.txt")
    head, status = git(project, "rev-parse", "HEAD"), git(project, "status", "-s")
    git(project, "reset", "--quiet", "staged.txt")

    commit = commit_run(project)

    assert git(project, "show", f"{commit}:params.yaml") == "a: 2"
    assert git(project, "show", f"{commit}:dvc.lock") == "new"
    assert git(project, "show", f"{commit}:split.lock") == "sides"
    assert git(project, "rev-parse", f"refs/heads/{branch_of(commit)}") == commit
    assert git(project, "rev-parse", f"{commit}^") == head
    assert git(project, "rev-parse", "HEAD") == head
    assert git(project, "diff", "--cached", "--name-only") == ""
    assert "staged.txt" in status


def test_the_same_content_gives_the_same_commit_a_day_later(project: Path) -> None:
    (project / "params.yaml").write_text("a: 2\n")
    first = commit_run(project)
    time.sleep(1.1)  # git counts in seconds

    assert commit_run(project) == first


@pytest.mark.parametrize("name", ["segpipe/code.py", "segpipe/new.py"])
def test_uncommitted_code_is_refused_by_name(project: Path, name: str) -> None:
    (project / name).write_text("2\n")

    with pytest.raises(DataError, match=f"found changes in {name}; commit"):
        commit_run(project)


def test_a_clone_follows_whatever_it_held(project: Path, tmp_path: Path) -> None:
    (project / "params.yaml").write_text("a: 2\n")
    first = commit_run(project)
    (project / "params.yaml").write_text("a: 3\n")
    second = commit_run(project)
    clone = tmp_path / "clone"
    check_out(clone, str(project), first)
    (clone / "params.yaml").write_text("spoilt\n")
    (clone / "kept").mkdir()

    check_out(clone, str(project), second)

    assert (clone / "params.yaml").read_text() == "a: 3\n"
    assert (clone / "kept").is_dir()


def test_a_repository_out_of_reach_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="nowhere"):
        check_out(tmp_path / "clone", str(tmp_path / "nowhere"), "HEAD")


def test_an_address_is_never_an_option(tmp_path: Path) -> None:
    """git would run the program that --upload-pack names."""
    ran = tmp_path / "ran"

    with pytest.raises(CommandError):
        check_out(tmp_path / "clone", f"--upload-pack=touch {ran};", "a" * 40)

    assert not ran.exists()


def test_a_remote_that_each_clone_takes_otherwise_is_refused(project: Path) -> None:
    assert remote_of(project) is None
    for url in ("/elsewhere", "s3://bucket/store"):
        dvc(project, "remote", "add", "--force", "--default", "store", url)

        assert remote_of(project) == url

    (project / ".dvc" / "config").write_text(
        "[core]\n    remote = store\n['remote \"store\"']\n    url = ../store\n"
    )
    with pytest.raises(DataError, match="absolute path"):
        remote_of(project)


def dvc(root: Path, *words: str) -> None:
    command = [sys.executable, "-m", "dvc", *words]
    subprocess.run(command, cwd=root, check=True, stdout=subprocess.DEVNULL)
