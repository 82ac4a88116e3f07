"""Finished cases: a cache in which each has a folder named by its key."""

import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from segpipe.project.documents import parse_json

log = logging.getLogger(__name__)
DIGESTS = ".digests.json"  # in an entry of the cache; digest of each of its files
BLOCK = 1 << 20  # bytes that are read at once


@dataclass(frozen=True)
class CaseCache:
    """A cache of finished cases, each in a folder named by its key.

    The digests of an entry's files are kept beside them, so that a changed or truncated
    file is computed again and never used. They are taken while the files are copied:
    each file is read once.

    Attributes:
        folder: ``.cache/STAGE``.
    """

    folder: Path

    def fetch(self, key: str, goal: Path) -> bool:
        """Copy a finished case to the folder goal; return whether the key is known.

        The files are copied, not linked: as root, a write through a link would change
        the cache, too. An entry whose files are not those that were stored is deleted
        with a warning, and its key is not known.
        """
        entry = self.folder / key
        digests = self._open(entry)
        if digests is None:
            return False
        before = goal.exists()
        goal.mkdir(parents=True, exist_ok=True)
        for file, digest in digests.items():
            if _copy(entry / file, _beneath(goal, file)) == digest:
                continue
            for copied in digests if before else ():
                (goal / copied).unlink(missing_ok=True)
            if not before:
                shutil.rmtree(goal)
            _refuse(entry)
            return False
        return True

    def read(self, key: str) -> dict[str, bytes] | None:
        """The bytes of each file of a finished case, by its path; None if not known.

        For small files that are read at once: nothing is copied.
        """
        entry = self.folder / key
        digests = self._open(entry)
        if digests is None:
            return None
        found = {}
        for file, digest in digests.items():
            found[file] = (entry / file).read_bytes()
            if hashlib.sha256(found[file]).hexdigest() != digest:
                _refuse(entry)
                return None
        return found

    def store(self, key: str, source: Path) -> None:
        """Keep a copy of a finished case: all of its files or none.

        After a power cut an entry may lack what was not on the disk yet; its digests
        then refuse it.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=".part-", dir=self.folder))
        try:
            digests = {
                file: _copy(source / file, _beneath(part, file))
                for file in sorted(_files(source))
            }
            (part / DIGESTS).write_text(json.dumps(digests))
        except BaseException:  # on a full disk, half an entry would keep it full
            shutil.rmtree(part, ignore_errors=True)
            raise
        try:
            part.rename(self.folder / key)
        except OSError:  # another process was faster: its copy is the same
            shutil.rmtree(part)

    def _open(self, entry: Path) -> dict[str, str] | None:
        """The digest of each file of an entry that has these files and no others."""
        try:
            os.utime(entry)  # first: prune looks at when an entry was last used
        except FileNotFoundError:
            return None
        try:
            text = (entry / DIGESTS).read_bytes()
            digests = parse_json(entry / DIGESTS, text)
        except (OSError, ValueError):
            digests = None
        if isinstance(digests, dict) and {*digests, DIGESTS} == {*_files(entry)}:
            return digests
        _refuse(entry)
        return None


def _refuse(entry: Path) -> None:
    """Delete an entry whose files are not those that were stored."""
    log.warning("%s was changed after it was stored; it is not used", entry)
    shutil.rmtree(entry, ignore_errors=True)


def _files(folder: Path, lead: str = "") -> Iterator[str]:
    """The files below a folder, by their paths in it."""
    with os.scandir(folder) as entries:
        for one in entries:
            if one.is_dir():
                yield from _files(folder / one.name, f"{lead}{one.name}/")
            else:
                yield lead + one.name


def _beneath(folder: Path, file: str) -> Path:
    """The place of a file in a folder; the folders between are made."""
    place = folder / file
    if "/" in file:
        place.parent.mkdir(parents=True, exist_ok=True)
    return place


def _copy(source: Path, goal: Path) -> str:
    """Copy a file; return the SHA-256 of what was copied."""
    digest = hashlib.sha256()
    with source.open("rb", buffering=0) as read, goal.open("wb") as write:
        while block := read.read(BLOCK):
            digest.update(block)
            write.write(block)
    return digest.hexdigest()
