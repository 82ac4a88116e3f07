"""Anchors: where the head of the chain stands outside of it, and what git has seen.

Who owns the disk can write a whole new chain, with new keys. It shows only where a
record's digest stands that this person cannot change alone: in a commit or tag that
others have, in a tag of a version in MLflow, on paper.
"""

import hashlib
import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from segpipe.approval.chain.folder import Link, records_folder
from segpipe.project.errors import DataError


@dataclass(frozen=True)
class Anchor:
    """A record's number and digest, as they stand somewhere outside of the chain.

    Attributes:
        place: Where, in words.
        number: Number of the record.
        digest: SHA-256 of the bytes of its file.
    """

    place: str
    number: int
    digest: str

    @property
    def text(self) -> str:
        """NUMBER:DIGEST, as it is written down."""
        return f"{self.number}:{self.digest}"


def parse_anchor(text: str, place: str) -> Anchor:
    """Read NUMBER:DIGEST, as ``segpipe review verify`` prints the head.

    Raises:
        DataError: If it is none.
    """
    found = re.fullmatch(r"([1-9]\d{0,8}):([0-9a-f]{64})", text.strip())
    if found is None:
        raise DataError(
            f"{place}: expected NUMBER:DIGEST, as `segpipe review verify` prints the "
            f"head, found {text[:80]!r}; copy it whole"
        )
    return Anchor(place, int(found[1]), found[2])


def faults_of_anchors(
    links: list[Link], anchors: Iterable[Anchor]
) -> list[tuple[int, str]]:
    """Records that are not those of the anchors: number, and what is wrong."""
    known = {link.number: link for link in links}
    faults = []
    for anchor in anchors:
        link = known.get(anchor.number)
        if link is None:
            words = f"is missing: {anchor.place} knows it, so the chain was cut off"
            faults.append((anchor.number, words))
        elif link.digest != anchor.digest:
            words = (
                f"has the digest {link.digest[:12]}, but {anchor.place} knows "
                f"{anchor.digest[:12]}: the chain was rewritten"
            )
            faults.append((anchor.number, words))
    return faults


def faults_of_git(links: list[Link], root: Path) -> list[tuple[int, str]]:
    """Records that are not those that any branch or tag of git has ever held.

    Outside of git, or before the first commit of a record, there is nothing to compare.

    Raises:
        DataError: If there is a repository and git does not answer.
    """
    known = {link.number: link for link in links}
    faults: dict[int, str] = {}
    for commit, blob, number in _committed(root):
        link, where = known.get(number), f"git commit {commit[:12]}"
        if link is None:
            words = f"is missing: {where} holds it, so the chain was cut off"
        elif link.content is None or _blob(link.content, blob) == blob:
            continue
        else:
            words = f"is another one than in {where}: the chain was rewritten"
        faults.setdefault(number, words)
    return sorted(faults.items())


def _committed(root: Path) -> list[tuple[str, str, int]]:
    """Commit, blob and number of every record that git has ever been given."""
    words = ["git", "log", "--all", "--raw", "--no-abbrev", "--no-renames", "-m"]
    words += ["--format=commit %H", "--", str(records_folder(Path()))]
    found, commit = [], ""
    for line in _ask_git(root, words).splitlines():
        if line.startswith("commit "):
            commit = line.removeprefix("commit ")
        row = re.fullmatch(r":\d+ \d+ \w+ (\w+) [AMT]\t.*/(\d{6,9})\.json", line)
        if row:
            found.append((commit, row[1], int(row[2])))
    return found


def _ask_git(root: Path, words: list[str]) -> str:
    """What git answers; nothing outside of a repository.

    Raises:
        DataError: If there is a repository and git does not answer.
    """
    try:
        answer = subprocess.run(words, cwd=root, capture_output=True, text=True)
        if answer.returncode == 0:
            return answer.stdout
        why = answer.stderr.strip().split("\n")[0] or f"status {answer.returncode}"
    except OSError as error:
        why = f"git does not start ({error.strerror})"
    repository = find_repository(root)
    if repository is None:
        return ""
    raise DataError(
        f"{root}: expected git to say which records its commits hold, found: {why}; "
        "nothing is believed without it: install git, repair the repository, or allow "
        "it to the user who runs this, with `git config --global --add safe.directory "
        f"{repository}`"
    )


def find_repository(root: Path) -> Path | None:
    """The repository that holds a folder; git looks for none beyond a mount point."""
    device = root.stat().st_dev
    return next(
        (
            one
            for one in (root.resolve(), *root.resolve().parents)
            if (one / ".git").exists() and one.stat().st_dev == device
        ),
        None,
    )


def _blob(content: bytes, like: str) -> str:
    """The name that git gives a file's content; it names objects by SHA-1 or SHA-256.

    Source:
        Pro Git, 10.2 Git Objects.
    """
    kind = hashlib.sha256 if len(like) == 64 else hashlib.sha1
    text = b"blob %d\0" % len(content) + content
    return kind(text, usedforsecurity=False).hexdigest()
