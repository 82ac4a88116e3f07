"""Dossier: the images and masks of a version as readers see them, and the key to them.

A dossier is written once, whole or not at all, and is never changed: what was signed
rests on it. ``dossier.json`` and the items say nothing of cases, patients and models;
``key.json`` does, and is not shown to a reader before he has decided on an item.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from operator import not_
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import AwareDatetime, Field, StringConstraints, ValidationError

from segpipe.approval.records import Digest, Subject
from segpipe.project.documents import Document, Unit, is_empty, write_folder
from segpipe.project.errors import DataError
from segpipe.project.fingerprint import digest_file
from segpipe.project.paths import Paths

OPAQUE = r"^[0-9a-z]{4,64}$"
LARGEST = 32 << 20  # bytes of a document; one of 1,000 items has about 1 MB
NAME, KEY, ITEMS = "dossier.json", "key.json", "items"
IMAGE, MONTAGE = "image.nii.gz", "montage.png"
PREVIOUS, PREVIOUS_MONTAGE = "previous.nii.gz", "previous-montage.png"
PLACE = re.compile(
    rf"{KEY}|{ITEMS}/[0-9a-z]{{4,64}}/(image(-\d{{1,3}})?\.nii\.gz|[ABC]\.nii\.gz|"
    r"previous\.nii\.gz|(previous-)?montage\.png)"
)

Opaque = Annotated[str, StringConstraints(pattern=OPAQUE)]
Letter = Literal["A", "B", "C"]
LETTERS: tuple[Letter, ...] = ("A", "B", "C")
Source = Literal["candidate", "champion", "reference"]
Stratum = Literal["worst", "random", "repeat", "control"]
Fault = Literal["mirrored", "shifted", "emptied"]
D = TypeVar("D", bound=Document)


class Structure(Document):
    """A structure to be rated, and its values in the masks.

    Attributes:
        name: Its name.
        value: The value as which it is drawn; it tells structures apart.
        members: All values that lie in it, where structures overlap.
    """

    name: str
    value: int
    members: tuple[int, ...] = Field((), exclude_if=is_empty)

    @property
    def values(self) -> tuple[int, ...]:
        """All values of its voxels."""
        return self.members or (self.value,)


class Window(Document):
    """A range of intensities to show, from black to white."""

    name: str
    low: float
    high: float


class Item(Document):
    """One image under an opaque id, with the masks of its letters.

    Attributes:
        id: Its id, which is made of nothing.
        letters: The letters of its masks.
        images: File of each channel; the first is what is shown first.
        window: Intensities that are black and white in the montage.
        has_previous: Whether the image of a previous study is shown beside it.
    """

    id: Opaque
    letters: tuple[Letter, ...]
    images: tuple[str, ...] = (IMAGE,)
    window: tuple[float, float] | None = None
    has_previous: bool = Field(default=False, exclude_if=not_)

    @property
    def shown(self) -> tuple[str, ...]:
        """Files of all images that a reader sees: channels and the previous study."""
        return (*self.images, *([PREVIOUS] if self.has_previous else []))

    @property
    def files(self) -> tuple[str, ...]:
        """All its files: images, masks and the pictures without WebGL."""
        pictures = (MONTAGE, *([PREVIOUS_MONTAGE] if self.has_previous else []))
        return (*self.shown, *map(mask_name, self.letters), *pictures)


class Dossier(Document):
    """What is reviewed; no name of a case, patient or model is in an item.

    Attributes:
        format_version: Version of this document.
        name: Name of the registered model.
        version: Number of the version.
        segmenter: Digest of the candidate.
        champion: Digest of the champion beside it; none if there was none to compare.
        protocol: Digest of review.yaml.
        data: MD5 by which DVC knows the data; none without DVC.
        code: Commit of the project; none without git.
        registered: How the version's provenance names it; none in a dossier that was
            written before it was asked for.
        made: When it was made, in UTC.
        structures: What is rated.
        unit: Unit of lengths.
        windows: Ranges of intensities by modality.
        items: What readers see, in the order that was drawn.
        files: SHA-256 of every other file, by its place in the folder.
    """

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
    unit: Unit
    windows: tuple[Window, ...]
    items: tuple[Item, ...]
    files: dict[str, Digest]
    registered: Subject | None = Field(None, exclude_if=is_empty)

    @property
    def subject(self) -> Subject:
        """How signed records name the version."""
        return self.registered or Subject(
            name=self.name,
            version=self.version,
            segmenter=self.segmenter,
            data=self.data,
            code=None,
            trainers=(),
        )


class Shown(Document):
    """What an item is in truth.

    Attributes:
        case: Name of the case.
        patient: Its patient.
        stratum: Why it is shown. Only random items estimate a rate, and repeats and
            controls count nowhere else than for the readers.
        letters: What each letter stands for.
        figures: Structure to figure to value, as ``candidate.dice``; None where it is
            not defined.
        rank: Place of the case among all test cases from the worst, which is 1.
        repeats: The item that it repeats.
        fault: What was done to the mask of the candidate on purpose.
        refused: Structures of that mask that a reader must find unacceptable.
        also_worst: Whether a random case is one of the worst, too: it is read once and
            counts in both strata. Dossiers of before count it as a random one alone.
    """

    case: str
    patient: str
    stratum: Stratum
    letters: dict[Letter, Source]
    figures: dict[str, dict[str, float | None]]
    rank: int | None = None
    repeats: Opaque | None = None
    fault: Fault | None = None
    refused: tuple[str, ...] = ()
    also_worst: bool = False

    def belongs_to(self, stratum: Stratum) -> bool:
        """Whether the item counts in a stratum."""
        return self.stratum == stratum or (stratum == "worst" and self.also_worst)


class Key(Document):
    """What each item is in truth; only its owner may read the file.

    Attributes:
        items: Id to what the item is.
        random_patients: Patients among whom the random cases were drawn.
        left_out: Test case to the reason why it could not be chosen.
    """

    items: dict[Opaque, Shown]
    random_patients: int = 0
    left_out: dict[str, str] = Field(default_factory=dict, exclude_if=is_empty)


def reviews_folder(paths: Paths) -> Path:
    """The folder of all dossiers of a project."""
    return paths.root / ".reviews"


def dossier_folder(paths: Paths, name: str, version: str) -> Path:
    """The folder of the dossier of a version."""
    return reviews_folder(paths) / f"{name}-{version}"


def item_folder(folder: Path, item: str) -> Path:
    """The folder of an item's files."""
    return folder / ITEMS / item


def mask_name(letter: Letter) -> str:
    """Name of the file of the mask with a letter."""
    return f"{letter}.nii.gz"


def image_name(channel: int) -> str:
    """Name of the file of a channel, from 0."""
    return f"image-{channel}.nii.gz" if channel else IMAGE


@contextmanager
def new_dossier(folder: Path) -> Iterator[Path]:
    """Yield an empty folder that becomes the dossier when the block ends.

    Write the files of the items into it, then ``seal`` it.

    Raises:
        DataError: If there is a dossier already: readings may rest on it.
    """
    if folder.exists():
        raise DataError(
            f"{folder}: expected no dossier yet, found one on which readings may rest; "
            "go on with it, or move the folder away to draw a new one"
        )
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with write_folder(folder) as part:
        yield part
        for path in (*part.rglob("*"), part):
            _synchronize(path)


def seal(folder: Path, dossier: Dossier, key: Key) -> Dossier:
    """Write the key and the document with the digests of all files.

    Args:
        folder: The folder, with the files of all items.
        dossier: What is reviewed; its ``files`` are replaced.
        key: What the items are in truth.
    """
    path = folder / KEY
    with os.fdopen(
        os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w"
    ) as f:
        f.write(key.model_dump_json(indent=1) + "\n")
    files = {
        file.relative_to(folder).as_posix(): digest_file(file)
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }
    strange = [place for place in files if not PLACE.fullmatch(place)]
    assert not strange, strange
    sealed = dossier.model_copy(update={"files": files})
    sealed.write(folder / NAME)
    return sealed


def read_dossier(folder: Path) -> Dossier:
    """Read the dossier in a folder; its files are checked as they are read.

    Raises:
        DataError: If there is none, it was written in another format, or it does not
            list the files of its items.
    """
    dossier = _read(folder / NAME, Dossier)
    wanted = {KEY} | {
        f"{ITEMS}/{item.id}/{name}" for item in dossier.items for name in item.files
    }
    if wanted != dossier.files.keys():
        raise DataError(
            f"{folder / NAME}: expected the digests of {len(wanted)} files, found "
            f"{len(dossier.files)} or other files; the dossier is damaged: move it "
            "away and build it again"
        )
    return dossier


def read_key(folder: Path) -> Key:
    """Read what the items are in truth.

    Raises:
        DataError: If it is not the key that was sealed with the dossier.
    """
    check_file(folder, read_dossier(folder), KEY)
    return _read(folder / KEY, Key)


def check_file(folder: Path, dossier: Dossier, place: str) -> Path:
    """The path of a file, if it is the one that was sealed.

    Args:
        folder: The folder of the dossier.
        dossier: What is in it.
        place: Place of the file, as in ``dossier.files``.

    Raises:
        DataError: If the dossier has no such file, or it was changed.
    """
    path = folder / place
    known = dossier.files.get(place)
    if known is None or not PLACE.fullmatch(place):
        raise DataError(
            f"{folder}: expected the place of one of its files, found {place!r}"
        )
    found = digest_file(path) if path.is_file() else "no file"
    if found != known:
        raise DataError(
            f"{path}: expected the file that was sealed, {known[:12]}, found "
            f"{found[:12]}; put a backup back, or move the dossier away and build it "
            "again"
        )
    return path


def _read(path: Path, kind: type[D]) -> D:
    if not path.is_file():
        raise DataError(
            f"{path}: expected a dossier, found no file; `segpipe review build` makes "
            "one"
        )
    size = path.stat().st_size
    if size > LARGEST:
        raise DataError(
            f"{path}: expected at most {LARGEST} bytes, found {size}; it is no file of "
            "a dossier: move it away"
        )
    try:
        return kind.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise DataError(
            f"{path}: expected a {kind.__name__}, found at {where}: {first['msg']}; "
            "move the dossier away and build it again"
        ) from error


def _synchronize(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
