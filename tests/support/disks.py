"""A real disk that is small enough to fill."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PAGE = 4096  # bytes that the smallest file takes there
FILLER = ".filler"


@contextmanager
def small_disk(folder: Path, *, pages: int = 1024) -> Iterator[Path]:
    """A file system of some pages in memory; only root can mount one."""
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", f"size={pages * PAGE}", "tmpfs", folder]
    try:
        mounted = subprocess.run(words, capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount here")
    if mounted.returncode != 0:
        pytest.skip("a disk that can be filled needs root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def leave(disk: Path, pages: int) -> None:
    """Fill a disk until it has room for only some pages."""
    filler = disk / FILLER
    filler.unlink(missing_ok=True)
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(PAGE)) == PAGE:
                pass
        except OSError:
            pass
        file.truncate(max(0, file.tell() // PAGE - pages) * PAGE)
