"""Dossier: the images and masks of a version as readers see them, and what they are."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AwareDatetime, StringConstraints

from segpipe.project.documents import Document

Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
OPAQUE = r"^[0-9a-z]{4,64}$"
Opaque = Annotated[str, StringConstraints(pattern=OPAQUE)]
Letter = Literal["A", "B", "C"]
NAME = "dossier.json"


class Structure(Document):
    """A structure to be rated, and its value in the masks."""

    name: str
    value: int


class Window(Document):
    """A range of values to show, from black to white."""

    name: str
    low: float
    high: float


class Item(Document):
    """One image under an opaque id, with the masks of its letters."""

    id: Opaque
    letters: tuple[Letter, ...]


class Dossier(Document):
    """What is reviewed: no name of a case, patient or model is in an item."""

    format_version: Literal[1]
    name: str
    version: str
    segmenter: Digest
    champion: Digest | None
    protocol: Digest
    data: str | None
    code: str | None
    made: AwareDatetime
    structures: tuple[Structure, ...]
    unit: Literal["mm", "px"]
    windows: tuple[Window, ...]
    items: tuple[Item, ...]
    files: dict[str, Digest]


class Shown(Document):
    """What an item is in truth; the key to it is never sent before the decision."""

    case: str
    patient: str
    stratum: Literal["worst", "random", "repeat", "control"]
    letters: dict[Letter, Literal["candidate", "champion", "reference"]]
    figures: dict[str, dict[str, float | None]]


class Key(Document):
    """What each item is in truth."""

    items: dict[Opaque, Shown]


def read_dossier(folder: Path) -> Dossier:
    """Read the dossier in a folder."""
    return Dossier.read(folder / NAME)


def read_key(folder: Path) -> Key:
    """Read what the items are in truth."""
    return Key.read(folder / "key.json")
