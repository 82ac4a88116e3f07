"""Commit: which version of a project's code and data is at work."""

import getpass
import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

from segpipe.project.documents import parse_yaml
from segpipe.project.errors import DataError


def git_tags(root: Path) -> dict[str, str]:
    """Commit and whether files differ from it: information, no key.

    dvc.lock does not count, as DVC writes it while the stages run.
    """
    commit = _ask(root, "rev-parse", "HEAD")
    if commit is None:
        return {}
    dirty = _changed(root, ":/", ":!dvc.lock")
    return {"git.commit": commit, "git.dirty": str(bool(dirty)).lower()}


def account_names(root: Path) -> set[str]:
    """Names of who runs this process: the account, and the e-mail that git knows.

    They are what the machine says, and prove nothing.
    """
    try:
        names = {getpass.getuser()}
    except (KeyError, OSError):  # no name belongs to the number of the user
        names = set()
    return names | {mail for mail in [_ask(root, "config", "user.email")] if mail}


def describe_commit(root: Path, *, written: Path) -> str | None:
    """Commit, its day, and whether files differ from it; None outside of git.

    Args:
        root: The folder of the project.
        written: A file in it that stages write. It does not count, nor does dvc.lock,
            so the words are the same while and after the stages run.
    """
    found = _ask(root, "show", "--no-patch", "--format=%H %cs", "HEAD")
    if not found:
        return None
    commit, day = found.split()
    changed = _changed(root, ".", ":!dvc.lock", f":!{written.name}")
    return f"{commit[:12]} of {day}" + (", with changes since" if changed else "")


def _changed(root: Path, *where: str) -> str | None:
    """The tracked files in some places that differ from the commit."""
    return _ask(root, "status", "--porcelain", "--untracked-files=no", "--", *where)


def _ask(root: Path, *words: str) -> str | None:
    """What git answers; None if it fails."""
    try:
        answer = subprocess.run(
            ["git", *words], cwd=root, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return answer.stdout.strip()


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


def locked_stage(name: str, root: Path) -> dict[str, Any]:
    """What dvc.lock records of a stage; empty if DVC has not run it.

    Raises:
        DataError: If dvc.lock is not what DVC writes.
    """
    return dict(locked_stages(root).get(name, {}))


def locked_stages(root: Path) -> dict[str, Any]:
    """What dvc.lock records of all stages, by name; empty if DVC has run none.

    Raises:
        DataError: If dvc.lock is not what DVC writes.
    """
    lock = root / "dvc.lock"
    return dict(_read(lock).get("stages", {})) if lock.is_file() else {}


def require_unchanged(file: Path, root: Path) -> None:
    """Refuse an output of a stage that is not the one whose MD5 is in dvc.lock.

    Without dvc.lock, or if it does not list the output, nothing is known and nothing is
    refused.

    Args:
        file: The file, or the folder.
        root: The folder of the project.

    Raises:
        DataError: If the file was changed since.
    """
    lock = root / "dvc.lock"
    if not lock.is_file():
        return
    stages = locked_stages(root).values()
    place = file.relative_to(root).as_posix()
    listed = [one for stage in stages for one in stage.get("outs", [])]
    known = {one["md5"] for one in listed if one["path"] == place and "md5" in one}
    if not known:
        return
    if file.is_dir():
        what, found = "folder", f"{md5_folder(file)}.dir"
    else:
        what, found = "file", md5_file(file)
    if found not in known:
        raise DataError(
            f"{file}: expected the {what} that its stage wrote, as {lock} says, found "
            "another; run `dvc repro`, which makes it again"
        )


def md5_file(path: Path) -> str:
    """MD5 of a file, as DVC names files; it protects nothing."""
    with path.open("rb") as file:
        return hashlib.file_digest(
            file, lambda: hashlib.md5(usedforsecurity=False)
        ).hexdigest()


def md5_folder(folder: Path) -> str:
    """MD5 of a folder as DVC names it, without its ending ``.dir``."""
    entries = [
        {"md5": md5_file(path), "relpath": path.relative_to(folder).as_posix()}
        for path in folder.rglob("*")
        if path.is_file()
    ]
    entries.sort(key=lambda entry: entry["relpath"])
    text = json.dumps(entries, sort_keys=True)
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def _read(path: Path) -> dict[str, Any]:
    document = parse_yaml(path, path.read_bytes())
    if not isinstance(document, dict):
        raise DataError(
            f"{path}: expected what DVC writes, found {type(document).__name__}; "
            "restore the file from Git"
        )
    return document
