"""Commit: which version of a project's code and data is at work."""

import subprocess
from pathlib import Path
from typing import Any

from segpipe.project.documents import parse_yaml
from segpipe.project.errors import DataError


def git_tags(root: Path) -> dict[str, str]:
    """Commit and whether files differ from it: information, no key."""

    def ask(*words: str) -> str | None:
        try:
            answer = subprocess.run(
                ["git", *words], cwd=root, capture_output=True, text=True, check=True
            )
        except (OSError, subprocess.CalledProcessError):
            return None
        return answer.stdout.strip()

    commit = ask("rev-parse", "HEAD")
    if commit is None:
        return {}
    dirty = ask("status", "--porcelain", "--untracked-files=no")
    return {"git.commit": commit, "git.dirty": str(bool(dirty)).lower()}


def data_version(root: Path) -> str | None:
    """The md5 by which DVC knows the data that the artifacts were made from.

    Raises:
        DataError: If dvc.lock or data.dvc is not what DVC writes.
    """
    lock, single = root / "dvc.lock", root / "data.dvc"
    if lock.is_file():
        stage = _read(lock).get("stages", {}).get("verify", {})
        found = [one for one in stage.get("deps", []) if one["path"] == "data"]
    elif single.is_file():
        found = _read(single).get("outs", [])
    else:
        return None
    return str(found[0]["md5"]) if found else None


def _read(path: Path) -> dict[str, Any]:
    document = parse_yaml(path, path.read_bytes())
    if not isinstance(document, dict):
        raise DataError(
            f"{path}: expected what DVC writes, found {type(document).__name__}; "
            "restore the file from Git"
        )
    return document
