"""Folder: the files of the chain, reviews/records/000001.json and so on.

A record is added as a whole or not at all: it is written and flushed in .reviews/, and
then linked to its number, which fails if the number is taken. Nothing here changes or
deletes a record.
"""

import errno
import fcntl
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from segpipe.approval.records import LIMIT_BYTES
from segpipe.project.errors import DataError


@dataclass(frozen=True)
class Link:
    """A record's file as it lies there, whatever it holds.

    Attributes:
        number: Number in its name.
        path: The file.
        content: Its bytes; none if it is no plain file or too large to be read.
        fault: Why it was not read.
    """

    number: int
    path: Path
    content: bytes | None
    fault: str | None = None

    @property
    def digest(self) -> str:
        """SHA-256 of the bytes; of none if it was not read."""
        return hashlib.sha256(self.content or b"").hexdigest()


def records_folder(root: Path) -> Path:
    """The folder of the chain in a project."""
    return root / "reviews" / "records"


def record_path(root: Path, number: int) -> Path:
    """The file of a record."""
    return records_folder(root) / f"{number:06d}.json"


def read_links(root: Path) -> list[Link]:
    """Read the files of a chain in the order of their numbers.

    Raises:
        DataError: If another file lies among them.
    """
    folder = records_folder(root)
    links = []
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if not re.fullmatch(r"\d{6,9}\.json", path.name):
            raise DataError(
                f"{path}: expected records with names such as 000001.json only, found "
                "this one; move it away"
            )
        links.append(_read_link(int(path.stem), path))
    return sorted(links, key=lambda link: link.number)


def _read_link(number: int, path: Path) -> Link:
    about = path.lstat()
    if not stat.S_ISREG(about.st_mode):
        return Link(number, path, None, "is no plain file")
    if about.st_size > LIMIT_BYTES:
        words = f"has {about.st_size} bytes, more than the {LIMIT_BYTES} of a record"
        return Link(number, path, None, words)
    return Link(number, path, path.read_bytes())


def hidden_folder(root: Path) -> Path:
    """The folder beside reviews/ that git does not track, made if needed."""
    folder = root / ".reviews"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def state_of(root: Path) -> tuple[tuple[str, int, int, int, int], ...]:
    """What changes with every change of the chain's files: names, sizes and times."""
    folder = records_folder(root)
    if not folder.is_dir():
        return ()
    with os.scandir(folder) as entries:
        found = [(entry.name, entry.stat(follow_symlinks=False)) for entry in entries]
    return tuple(
        sorted(
            (name, one.st_ino, one.st_size, one.st_mtime_ns, one.st_ctime_ns)
            for name, one in found
        )
    )


@contextmanager
def turn(root: Path) -> Iterator[None]:
    """Exclude other processes and threads that add a record; wait for them.

    The kernel ends the turn of a process that was killed. On a file system without
    locks, the name of the next record is still given only once.
    """
    with (hidden_folder(root) / "chain.lock").open("w") as file:
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def check_size(root: Path, number: int, content: bytes) -> None:
    """Refuse a record that would not be read again.

    Raises:
        DataError: If it is too large.
    """
    if len(content) > LIMIT_BYTES:
        raise DataError(
            f"{record_path(root, number)}: expected a record of at most {LIMIT_BYTES} "
            f"bytes, found {len(content)}; nothing was signed: shorten reason and "
            "comments"
        )


def add_link(root: Path, number: int, content: bytes) -> Path:
    """Add a record's file, whose size was checked.

    Raises:
        DataError: If the number is taken, or .reviews/ is on another disk.
    """
    path = record_path(root, number)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = hidden_folder(root) / f"{path.name}.{secrets.token_hex(4)}.part"
    try:
        with part.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.link(part, path)
    except FileExistsError as error:
        raise DataError(
            f"{path}: expected no record with this number yet, found one that another "
            "process added meanwhile; sign again"
        ) from error
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP):
            raise
        raise DataError(
            f"{part.parent}: expected a folder on the disk of {path.parent}, and a "
            f"disk with hard links, found: {error.strerror}; nothing was signed: keep "
            "both folders in the project, on one disk"
        ) from error
    finally:
        part.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return path
