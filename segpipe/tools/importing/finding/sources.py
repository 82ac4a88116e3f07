"""RawCase: a case outside of the project, and how cases are found in folders."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from segpipe.dataset.description import Values, read_description
from segpipe.dataset.layout import read_dataset
from segpipe.images.formats.files import IMAGE_SUFFIXES, suffix_of
from segpipe.project.documents import parse_json
from segpipe.project.errors import DataError
from segpipe.tools.importing.reading import hdf5
from segpipe.tools.importing.reading.labels import Drawn

SHOWN = 8  # names listed in an error


@dataclass(frozen=True)
class RawCase:
    """One case to import.

    Attributes:
        name: Name that the case will have.
        images: One file for each channel, or one that holds all.
        label: File of the label map; in HDF5 the same as the image.
        instances: File of the instance ids, if there is one.
        masks: The masks or shapes of which the label map is made; ``label`` is the
            file of the first.
        observers: What other people drew, by the name of each.
        missing: Numbers of the channels of which there is no file.
    """

    name: str
    images: tuple[Path, ...]
    label: Path
    instances: Path | None = None
    masks: Drawn | None = None
    observers: Mapping[str, Drawn] = field(default_factory=dict)
    missing: tuple[int, ...] = ()

    @property
    def drawn(self) -> Drawn:
        """What was drawn as the reference."""
        return self.masks or Drawn((self.label,))

    @property
    def files(self) -> set[Path]:
        """All files, and folders of DICOM, that it consists of."""
        found = {*self.images, *filter(None, [self.instances]), *self.drawn.files}
        return found.union(*(drawn.files for drawn in self.observers.values()))


@dataclass(frozen=True)
class RawCases:
    """All cases to import, and what their folder states about them.

    Attributes:
        cases: The cases, sorted by name.
        channels: Names of the channels; empty if unknown.
        labels: Value of each structure, or the values that it unites, and value of
            ``ignore``; None if unknown.
        spacing_mm: Distance of columns and of rows, for 2-D images that store none.
        folder: Folder that may hold patients.csv and splits.csv.
        regions_class_order: The value as which each structure is written, if some
            unite values.
        unlabelled: Images to which no label belongs.
    """

    cases: tuple[RawCase, ...]
    channels: tuple[str, ...] = ()
    labels: dict[str, Values] | None = None
    spacing_mm: tuple[float, float] | None = None
    folder: Path | None = None
    regions_class_order: tuple[int, ...] | None = None
    unlabelled: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        """Refuse names that are no names of files, or of two cases.

        Raises:
            DataError: If a name could lead out of the data folder, or is there twice.
        """
        seen: dict[str, RawCase] = {}
        for case in self.cases:
            for name in (case.name, *filter(None, case.observers)):
                if name.startswith(".") or re.search(r"[/\\\0]", name) or not name:
                    raise DataError(
                        f"{case.label}: expected a name of a case or observer that "
                        "does not begin with a dot and holds no slash, found "
                        f"{name!r}; rename the file, or the image in the document"
                    )
            other = seen.setdefault(case.name.casefold(), case)
            if other is not case:
                raise DataError(
                    f"{case.images[0]}: expected a case of its own, found that "
                    f"{other.images[0]} is the case {other.name}, too; rename one"
                )

    @property
    def single(self) -> dict[str, int] | None:
        """The labels of one value, with ``ignore``; None if they are unknown."""
        if self.labels is None:
            return None
        return {name: n for name, n in self.labels.items() if isinstance(n, int)}


def find_described(source: Path) -> RawCases:
    """Find the cases of a folder with dataset.json: nnU-Net v2, nnU-Net v1 or MSD.

    Raises:
        DataError: If dataset.json is damaged or names files that are missing.
    """
    path = source / "dataset.json"
    document = parse_json(path, path.read_bytes())
    if isinstance(document, dict) and isinstance(document.get("training"), list):
        return _find_listed(source, document)
    dataset = read_dataset(source, "zeros")
    if dataset.faults:
        raise DataError(
            f"{source}: expected a whole data set, found:\n"
            + "\n".join(f"  {fault}" for fault in dataset.faults)
        )
    cases = tuple(
        RawCase(
            files.name,
            tuple(source / file for file in files.images),
            source / files.label,
            source / files.instances if files.instances else None,
            observers={
                name: Drawn((source / file,)) for name, file in files.observers.items()
            },
            missing=files.missing,
        )
        for files in dataset.cases
    )
    return RawCases(
        cases,
        dataset.channels,
        read_description(source).labels,
        dataset.spacing_mm,
        source,
        dataset.regions_class_order,
    )


def _find_listed(source: Path, document: dict[str, object]) -> RawCases:
    """The cases as the MSD and nnU-Net v1 list them: files, and names by value."""
    path = source / "dataset.json"
    channels = document.get("modality") or document.get("channel_names")
    names, listed = document.get("labels"), document["training"]
    assert isinstance(listed, list)
    if not isinstance(channels, dict) or not isinstance(names, dict):
        raise DataError(
            f"{path}: expected labels and modality with a name each, found none; "
            "correct it, or import the folders: --images imagesTr --labels labelsTr"
        )
    cases = []
    for entry in listed:
        if not isinstance(entry, dict) or not {"image", "label"} <= set(entry):
            raise DataError(
                f"{path}: expected image and label under training, found {entry}; "
                "import the folders: --images imagesTr --labels labelsTr"
            )
        label = source / str(entry["label"])
        images = _listed_images(source / str(entry["image"]))
        for file in (label, *images):
            if not file.is_file():
                raise DataError(
                    f"{file}: expected the file that dataset.json lists, found none; "
                    "add it, or remove its case from the list training"
                )
        missing = _unlisted(images, source / str(entry["image"]), len(channels))
        cases.append(RawCase(stem_of(label), images, label, missing=missing))
    try:
        labels = {str(name): int(value) for value, name in names.items()}
        ordered = sorted(channels, key=int)
    except ValueError as error:
        raise DataError(f"{path}: expected numbers to names, found {error}") from error
    named = {name: value for name, value in labels.items() if value != 0}
    return RawCases(
        tuple(sorted(cases, key=lambda case: case.name)),
        tuple(str(channels[number]) for number in ordered),
        {"background": 0, **named},
        None,
        source,
    )


def _listed_images(image: Path) -> tuple[Path, ...]:
    """The listed image, or its channels: nnU-Net v1 lists CASE for CASE_0000."""
    if image.is_file():
        return (image,)
    ending = suffix_of(image)
    stem = image.name.removesuffix(ending)
    found = sorted(image.parent.glob(f"*_[0-9][0-9][0-9][0-9]{ending}"))
    exact = [file for file in found if file.name[: -len(ending) - 5] == stem]
    return tuple(exact) or (image,)


def _unlisted(images: tuple[Path, ...], listed: Path, channels: int) -> tuple[int, ...]:
    """The numbers of the channels that are not among the files of a listed image."""
    if images == (listed,):
        return ()  # one file holds all of them
    found = {int(re.sub(r".*_", "", stem_of(file))) for file in images}
    return tuple(sorted(set(range(channels)) - found))


def find_hdf5(images: Path, key: str | None = None) -> RawCases:
    """Find the cases of a folder of HDF5 files, each with image and label.

    Args:
        images: The folder.
        key: Data set of the labels, to tell the files without it; None does not look.

    Raises:
        DataError: If a file that is looked at is damaged.
    """
    files = [file for file in sorted(images.iterdir()) if hdf5.is_hdf5(file)]
    without = [f for f in files if key is not None and key not in hdf5.read_sets(f)]
    cases = (RawCase(stem_of(f), (f,), f) for f in files if f not in without)
    return RawCases(tuple(cases), unlabelled=tuple(without))


def stem_of(path: Path) -> str:
    """The name of a file without its ending, in Unicode's composed form."""
    for ending in (*IMAGE_SUFFIXES, *hdf5.SUFFIXES):
        if path.name.lower().endswith(ending):
            return unicodedata.normalize("NFC", path.name[: -len(ending)])
    return unicodedata.normalize("NFC", path.stem)


def shown(names: Sequence[str]) -> str:
    """The names, of many only the first."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
