"""A study is made whole, and nothing is overwritten."""

import os
import subprocess
from pathlib import Path

import pytest

from segpipe.project.errors import DataError
from segpipe.project.origin.study import read_study
from segpipe.tools.study.init import init
from tests.support.places import ROOT

IDENTITY = {
    f"GIT_{who}_{what}": "a@b"
    for who in ("AUTHOR", "COMMITTER")
    for what in ("NAME", "EMAIL")
}


@pytest.fixture(autouse=True)
def somebody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A user whom git knows, and no configuration of this machine."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    for name, text in IDENTITY.items():
        monkeypatch.setenv(name, text)


def git(folder: Path, *words: str) -> str:
    return subprocess.run(
        ["git", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout


def test_a_study_has_no_code_and_all_its_files_are_in_the_first_commit(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "liver"
    made, done, _ = init(folder)

    files = set(git(folder, "ls-files").split())
    assert files == {
        ".dvc/.gitignore",
        ".dvc/config",
        ".dvcignore",
        ".gitignore",
        "README.md",
        "dvc.yaml",
        "params.yaml",
        "prefect.yaml",
        "study.json",
    }
    assert all(name in made for name in files)
    assert not git(folder, "status", "--short")
    assert git(folder, "log", "--format=%s").strip() in done
    assert (folder / "params.yaml").read_text() == (ROOT / "params.yaml").read_text()


def test_an_empty_folder_is_taken_and_another_is_not(tmp_path: Path) -> None:
    folder = tmp_path / "liver"
    folder.mkdir()
    init(folder)

    with pytest.raises(DataError, match="expected no folder or an empty one"):
        init(folder)


@pytest.mark.parametrize(
    ("folder", "name"),
    [("liver", "liver"), ("Leber & Milz 2024", "Leber-Milz-2024"), (".liver", "liver")],
)
def test_the_name_has_letters_that_servers_accept(
    tmp_path: Path, folder: str, name: str
) -> None:
    init(tmp_path / folder)
    study = read_study(tmp_path / folder)

    assert study is not None
    assert study.name == name


def test_a_name_without_such_a_letter_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected a name with letters or digits"):
        init(tmp_path / "肝臓")

    assert not (tmp_path / "肝臓").exists()


def test_without_a_name_for_git_the_study_stands_and_says_what_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in IDENTITY:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "user.useConfigOnly")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "true")
    folder = tmp_path / "liver"
    _, done, _ = init(folder)

    assert "`git config --global user.name NAME`" in done
    git(folder, "config", "--global", "user.name", "a")
    git(folder, "config", "--global", "user.email", "a@b")
    git(folder, "commit", "--message", "START")
    assert not git(folder, "status", "--short")


def test_without_git_dvc_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", os.devnull)
    _, done, _ = init(tmp_path / "liver")

    assert done.startswith("no git on this machine")
    assert "no_scm = true" in (tmp_path / "liver/.dvc/config").read_text()
    assert not (tmp_path / "liver/.git").exists()
