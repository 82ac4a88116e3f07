"""Digests of the files in data/, kept as long as nobody touches the files."""

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from segpipe.project.documents import parse_json, write_text
from segpipe.project.fingerprint import digest_file
from segpipe.project.paths import Paths

# Younger files are read each time: a clock may not tell two of their states apart.
SETTLED_NS = 2_000_000_000

# A file: its size, the times of its last change of content and of state in ns, its
# number on the disk, and its digest.
State = tuple[int, int, int, int]
Known = tuple[State, str]
UNSETTLED: State = (-1, 0, 0, 0)


@dataclass(frozen=True)
class DataDigests:
    """SHA-256 of the files in data/, read again only if their state is another one.

    The kernel sets the time of the last change of state and no program can set it back,
    so a file with the same state has the same bytes. What a failing disk does to them
    is seen only when the files are read.

    Attributes:
        data: The data folder.
        known: State and digest of each file, by its path in the data folder.
    """

    data: Path
    known: dict[str, Known]

    @classmethod
    def load(cls, paths: Paths) -> "DataDigests":
        """Read the kept digests; none is known without them, or if damaged."""
        file = _file(paths)
        try:
            lines = parse_json(file, file.read_bytes())
            known = {name: (tuple(state), digest) for name, *state, digest in lines}
        except (OSError, ValueError, TypeError):
            known = {}
        return cls(paths.data, known)

    def of(self, file: str) -> str:
        """Digest of a file, from its bytes if its state is not known."""
        return self.known_of(file) or digest_file(self.data / file)

    def known_of(self, file: str) -> str | None:
        """Digest of a file if its state is known."""
        state, digest = self.known.get(file, (None, None))
        return (
            digest if state is not None and state == _state(self.data / file) else None
        )

    def take(self, file: str) -> Known:
        """State and digest of a file, to be kept.

        The state of a file that was changed just now is UNSETTLED, which no file has.
        """
        now, state = time.time_ns(), _state(self.data / file)
        settled = max(state[1:3]) + SETTLED_NS < now
        return state if settled else UNSETTLED, self.of(file)


def keep_digests(paths: Paths, known: dict[str, Known]) -> None:
    """Write the digests of files in data/, in place of those that were kept."""
    lines: Iterable[str] = (
        json.dumps([name, *state, digest]) for name, (state, digest) in known.items()
    )
    write_text(_file(paths), "[" + ",\n".join(lines) + "]\n")


def _file(paths: Paths) -> Path:
    return paths.cache / "digests.json"


def _state(path: Path) -> State:
    found = path.stat()
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino
