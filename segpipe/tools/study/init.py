"""init: make a study's folder, and its git repository with a first commit."""

import re
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path

from segpipe.project.documents import write_text
from segpipe.project.errors import DataError
from segpipe.project.origin.study import FILE
from segpipe.tools.study.files import (
    describe_study,
    files_of_segpipe,
    files_of_user,
)


def init(folder: Path) -> list[str]:
    """Make a study in a new or empty folder.

    Args:
        folder: The study's folder; its name becomes the study's name.

    Returns:
        Lines that say what was made and what comes next.

    Raises:
        DataError: If there is something in the folder already, or its name has no
            letter or digit.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(
            f"{folder}: expected no folder or an empty one, found files; choose "
            "another name"
        )
    name = _choose_name(folder)
    git = shutil.which("git") is not None
    ours = files_of_segpipe(name)
    files = {**ours, **files_of_user(name, git=git)}
    for path, text in files.items():
        write_text(folder / path, text)
    describe_study(name, ours).write(folder / FILE)
    done = _commit(folder, name) if git else _without_git()
    return [
        f"made {folder}, the study {name}: {', '.join(sorted([*files, FILE]))}",
        done,
        f"next: cd {folder}, then the lines of README.md",
    ]


def _choose_name(folder: Path) -> str:
    """The folder's name in the letters that MLflow and Prefect accept."""
    own = folder.resolve().name
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", own).strip("-._")
    if not name:
        raise DataError(
            f"{folder}: expected a name with letters or digits from A to z, found "
            f"{own!r}; choose another name"
        )
    return name


def _without_git() -> str:
    return (
        "no git on this machine: DVC works without, workers do not; later `git init`, "
        "and take no_scm out of .dvc/config"
    )


def _commit(folder: Path, name: str) -> str:
    """Make the git repository and its first commit; says what was done."""
    message = f"Begin the study {name} with segpipe {version('segpipe')}"
    _git(folder, "init", "--quiet")
    _git(folder, "add", "--all")
    answer = _git(folder, "commit", "--quiet", "--message", message)
    if answer.returncode == 0:
        return f"git: a repository with a first commit, {message!r}"
    return (
        "git: a repository; its first commit failed, perhaps because git does not know "
        "your name: `git config --global user.name NAME`, the same for user.email, "
        f"then `git -C {folder} commit --message START`"
    )


def _git(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["git", *words],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
