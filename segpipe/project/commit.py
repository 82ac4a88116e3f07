"""Commit: which version of a project's code and data is at work."""

import subprocess
from pathlib import Path

from ruamel.yaml import YAML


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
    """The md5 by which DVC knows the data that the artifacts were made from."""
    lock, single = root / "dvc.lock", root / "data.dvc"
    if lock.is_file():
        stage = YAML(typ="safe").load(lock).get("stages", {}).get("verify", {})
        found = [one for one in stage.get("deps", []) if one["path"] == "data"]
    elif single.is_file():
        found = YAML(typ="safe").load(single).get("outs", [])
    else:
        return None
    return str(found[0]["md5"]) if found else None
