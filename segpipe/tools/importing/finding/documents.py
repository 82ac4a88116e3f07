"""Documents that hold the labels of all images of a source: COCO, CVAT."""

from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path

from segpipe.project.errors import DataError
from segpipe.tools.importing.finding.matching import list_files
from segpipe.tools.importing.finding.sources import RawCase, RawCases, shown
from segpipe.tools.importing.reading.labels import Drawn
from segpipe.tools.importing.reading.panoptic import is_panoptic, read_panoptic
from segpipe.tools.importing.reading.shapes import coco, cvat
from segpipe.tools.importing.reading.shapes.drawing import Drawing

PANOPTIC = "COCO panoptic"
SUFFIXES = (".json", ".xml")


def is_document(labels: str) -> bool:
    """Whether --labels names a document, not a folder or a pattern."""
    return labels.lower().endswith(SUFFIXES) and "{" not in labels


def kind_of(path: Path) -> str:
    """What a document is: COCO, its panoptic format, CVAT; empty if none of them."""
    if is_panoptic(path):
        return PANOPTIC
    return "COCO" if coco.is_coco(path) else "CVAT" if cvat.is_cvat(path) else ""


def read_document(path: Path) -> dict[str, Drawing]:
    """Read the drawing of each image, by the name of its file in the document.

    Raises:
        DataError: If the document is missing, damaged or too large.
    """
    if path.suffix.lower() == ".xml":
        return cvat.read_cvat(path)
    return coco.read_coco(path)


def find_drawn(source: Path, images: str | None, labels: str) -> RawCases:
    """Find the images that a document names.

    Args:
        source: The folder.
        images: Folder of images inside it; None for anywhere.
        labels: Path of the document inside it.

    Raises:
        DataError: If the document is damaged, or an image that it names is missing or
            there twice.
    """
    path = source / labels
    drawn = read_drawings(path)
    files = find_images(source, images, drawn, without=folder_of(path))
    without = [name for name in drawn if len(files[name]) != 1]
    if without or not drawn:
        many = [str(one) for name in without for one in files[name]]
        raise DataError(
            f"{path}: expected one file of each image that it names, found none or "
            f"several of {shown(without) or 'no image at all'}"
            f"{': ' + shown(many) if many else ''}; add the missing ones, or say "
            "where they are with --images FOLDER"
        )
    cases = [
        RawCase(case, (files[name][0],), drawn[name].files[0], masks=drawn[name])
        for name, case in case_names(drawn).items()
    ]
    folder, used = source / (images or ""), {case.images[0] for case in cases}
    others = (folder / file for file in list_files(folder))
    return RawCases(
        tuple(sorted(cases, key=lambda case: case.name)),
        unlabelled=tuple(
            file
            for file in others
            if file not in used and folder_of(path) not in file.parents
        ),
    )


def read_drawings(path: Path) -> dict[str, Drawn]:
    """What a document says of each image, by the name of its file.

    Raises:
        DataError: If the document is missing, damaged or too large.
    """
    if is_panoptic(path):
        found = read_panoptic(path)
        return {name: Drawn((one.file,), segments=one) for name, one in found.items()}
    shapes = read_document(path)
    return {name: Drawn((path,), drawing=one) for name, one in shapes.items()}


def folder_of(path: Path) -> Path:
    """The folder beside a document that has its name: of no images, but of PNG ids."""
    return path.with_suffix("")


def case_names(names: Iterable[str]) -> dict[str, str]:
    """The case of each image: its name without ending, or its path where two agree."""
    plain = {name: Path(name.replace("\\", "/")).with_suffix("") for name in names}
    stems = Counter(path.name for path in plain.values())
    whole = {
        name: "_".join(part for part in path.parts if part != path.anchor)
        for name, path in plain.items()
    }
    return {
        name: path.name if stems[path.name] == 1 else whole[name]
        for name, path in plain.items()
    }


def find_images(
    source: Path,
    images: str | None,
    names: Collection[str],
    *,
    without: Path | None = None,
) -> dict[str, list[Path]]:
    """The files inside a source that a document may mean by each name.

    A name is the end of a path; only files inside the source are found. If all names
    have another folder than the files, it must be one, and so must that of the files.

    Args:
        source: The folder.
        images: Folder of images inside it; None for anywhere.
        names: The names.
        without: A folder in which no image lies.
    """
    folder = source / (images or "")
    ends: dict[str, list[Path]] = {}
    for file in list_files(folder) if folder.is_dir() else ():
        if without in (folder / file).parents:
            continue
        parts = file.split("/")
        for start in range(len(parts)):
            ends.setdefault("/".join(parts[start:]), []).append(folder / file)
    found, moved = {}, {}
    for name in names:
        plain = name.replace("\\", "/").removeprefix("./")
        exact, at_name = folder / plain, ends.get(plain, [])
        found[name] = [exact] if exact in at_name else at_name
        if not at_name:
            parent, _, last = plain.rpartition("/")
            moved[name] = (parent, ends.get(last, []))
    parents = {parent for parent, _ in moved.values()}
    folders = {file.parent for _, files in moved.values() for file in files}
    if len(moved) == len(names) and len(parents) == len(folders) == 1:
        found |= {name: files for name, (_, files) in moved.items()}
    return found
