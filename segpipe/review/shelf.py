"""Shelf: finds dossiers and their files by the ids that stand in requests.

No part of a request is ever used as the name of a file or folder: an id is compared
with those of the dossiers, and the dossier says which file it is.
"""

import hashlib
import logging
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from segpipe.project.errors import DataError
from segpipe.review.dossier import (
    ITEMS,
    NAME,
    Dossier,
    Item,
    check_file,
    read_dossier,
)

log = logging.getLogger(__name__)
SHORT = 16  # digits of the digest that stand in addresses


@dataclass(frozen=True)
class Volume:
    """A dossier in its folder.

    Attributes:
        folder: Where it is.
        digest: SHA-256 of dossier.json.
        dossier: What it says.
    """

    folder: Path
    digest: str
    dossier: Dossier

    @property
    def id(self) -> str:
        """By what the dossier is known in addresses."""
        return self.digest[:SHORT]

    @cached_property
    def items(self) -> dict[str, Item]:
        """The items by their ids."""
        return {item.id: item for item in self.dossier.items}

    def files_of(self, item: Item) -> dict[str, str]:
        """Places of the item's images, masks and pictures, by their names."""
        return {name: f"{ITEMS}/{item.id}/{name}" for name in item.files}

    def read(self, place: str) -> bytes:
        """Read a file and check that it is the one that was put into the dossier.

        Raises:
            DataError: If it is another, or missing.
        """
        return check_file(self.folder, self.dossier, place).read_bytes()


class Shelf:
    """The dossiers below a folder; new ones are found while the server runs."""

    def __init__(self, folder: Path) -> None:
        """Look for dossiers below a folder."""
        self.folder = folder
        self._known: dict[Path, tuple[int, Volume | None]] = {}

    def volumes(self) -> list[Volume]:
        """All dossiers, the newest first.

        One that cannot be read is left out with a warning: the others are read on.
        """
        known = {}
        for path in sorted(self.folder.glob(f"*/{NAME}")):
            changed = path.stat().st_mtime_ns
            before = self._known.get(path)
            if before is None or before[0] != changed:
                before = changed, _try_to_open(path.parent)
            known[path] = before
        self._known = known
        volumes = [volume for _, volume in known.values() if volume is not None]
        return sorted(volumes, key=lambda one: one.dossier.made, reverse=True)

    def find(self, id: str) -> Volume | None:  # noqa: A002
        """The dossier of an id."""
        return next((one for one in self.volumes() if one.id == id), None)


def _try_to_open(folder: Path) -> Volume | None:
    try:
        return open_volume(folder)
    except DataError as error:
        log.warning("left out: %s", error)
        return None


def open_volume(folder: Path) -> Volume:
    """Read the dossier in a folder.

    Raises:
        DataError: If there is none.
    """
    dossier = read_dossier(folder)
    digest = hashlib.sha256((folder / NAME).read_bytes()).hexdigest()
    return Volume(folder, digest, dossier)
