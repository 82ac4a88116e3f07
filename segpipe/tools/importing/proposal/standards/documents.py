"""Documents that hold the shapes on all images: what they say, and how to import."""

import time
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from segpipe.tools.importing.conversion import ImportOptions
from segpipe.tools.importing.finding.documents import (
    SUFFIXES,
    case_names,
    find_images,
    kind_of,
    read_document,
)
from segpipe.tools.importing.proposal.images import look_at_images
from segpipe.tools.importing.proposal.labels import Meaning
from segpipe.tools.importing.proposal.patients import list_cases, propose_patients
from segpipe.tools.importing.proposal.values import BUDGET_S
from segpipe.tools.importing.reading.shapes.drawing import Drawing, extent_of, stamps
from segpipe.tools.importing.reading.vocabulary import RESERVED

SHOWN = 6  # kinds listed in a line
MOST_LOOKED_AT = 1 << 24  # pixels of an image whose shapes are drawn for looking


def look_at_documents(
    source: Path, endings: Collection[str]
) -> tuple[list[str], Meaning] | None:
    """Look at the documents of a source; None if there is none.

    Args:
        source: The folder.
        endings: The endings of all files in it that are no images.
    """
    if not set(SUFFIXES) & {ending.lower() for ending in endings}:
        return None
    paths = [
        path
        for path in sorted(source.rglob("*"))
        if path.suffix.lower() in SUFFIXES and kind_of(path)
    ]
    if not paths:
        return None
    looks = [_look_at_document(source, path) for path in paths]
    lines = [line for one, _ in looks for line in one]
    proposals = [one for _, meaning in looks for one in meaning.proposals]
    doubt = f"{len(paths)} documents: import one, then another with --add"
    several = len(proposals) > 1
    return lines, Meaning(tuple(proposals), doubt=doubt if several else "")


def _look_at_document(source: Path, path: Path) -> tuple[list[str], Meaning]:
    drawings, inside = read_document(path), path.relative_to(source).as_posix()
    lines = [f"{inside}: {kind_of(path)}, {count_shapes(drawings)}"]
    files = find_images(source, None, drawings)
    missing = [name for name, found in files.items() if not found]
    if missing or not any(one.shapes for one in drawings.values()):
        what = f"no file of {len(missing)} images, as {missing[0]}" if missing else ""
        return [*lines, what or "nothing to import"], Meaning(())
    options = ImportOptions(labels=inside, images=_folder(source, files))
    if any(len(found) > 1 for found in files.values()) and options.images is None:
        lines.append("several files of one name: where are the images? --images FOLDER")
        return lines, Meaning(())
    cases = sorted(case_names(drawings).values())
    first = [found[0] for found in files.values()]
    image = look_at_images(first, ImportOptions())
    lines += [list_cases(cases), *image.lines(first[0])]
    options = replace(options, grey=image.grey)
    options, line = propose_patients(options, source, cases)
    found, said = propose_shapes(options, path, drawings)
    return [*lines, line, *said], Meaning((found,))


def _folder(source: Path, files: Mapping[str, list[Path]]) -> str | None:
    """The folder that holds one file of each image, if there are others elsewhere."""
    if all(len(found) == 1 for found in files.values()):
        return None
    parents = [{file.parent for file in found} for found in files.values()]
    common = set.intersection(*parents) - {source}
    return common.pop().relative_to(source).as_posix() if len(common) == 1 else None


def count_shapes(drawings: Mapping[str, Drawing]) -> str:
    """The number of images and of the shapes of each kind, in a line."""
    counts = Counter(shape.name for one in drawings.values() for shape in one.shapes)
    kinds = ", ".join(f"{name} {number}" for name, number in counts.most_common(SHOWN))
    more = f" and {len(counts) - SHOWN} kinds more" if len(counts) > SHOWN else ""
    return f"shapes on {len(drawings)} images: {kinds or 'none'}{more}"


def propose_shapes(
    options: ImportOptions, path: Path, drawings: Mapping[str, Drawing]
) -> tuple[ImportOptions, list[str]]:
    """Propose structures, or instances of one, and who has pixels of two shapes.

    Args:
        options: The options until now.
        path: The document, or one of them, for errors.
        drawings: The shapes of each image.

    Returns:
        The options, and what was seen, in words.
    """
    names = list(dict.fromkeys(n for one in drawings.values() for n in one.names))
    several = any(len(one.shapes) > 1 for one in drawings.values())
    crowd = any(shape.crowd for one in drawings.values() for shape in one.shapes)
    instances = len(names) == 1 and several and not crowd
    lines = ["each shape is an instance"] if instances else []
    if len(names) > 1 and several:
        lines.append("instances of one kind: --instances --structure NAME=KIND")
    sizes, shared = _overlap(path, drawings, instances=instances)
    if shared and instances:
        lines.append("some pixels lie in two shapes: the later one gets them")
    elif shared:
        lines.append("some pixels lie in two kinds: the smaller one gets them")
        names.sort(key=lambda name: -sizes[name])
    plain = all(_is_plain(name) for name in names)
    structures = {name: (name,) for name in names} if plain else {}
    found = replace(
        options,
        structures=structures,
        instances=instances,
        overlap="last" if shared else None,
    )
    return found, lines


def _is_plain(name: str) -> bool:
    """Whether --structure can say a name."""
    marked = set(name) & set(",=*") or name.removeprefix("-").isdecimal()
    return not marked and name == name.strip() and name not in RESERVED


def _overlap(
    path: Path, drawings: Mapping[str, Drawing], *, instances: bool
) -> tuple[Counter[str], bool]:
    """The pixels of each kind, and whether two share some.

    Only images of usual size are drawn, as far as time allows: a document states any
    size, and it is compared with that of the image at the import.
    """
    sizes: Counter[str] = Counter()
    shared, start = False, time.monotonic()
    for drawing in drawings.values():
        if time.monotonic() - start > BUDGET_S:
            break
        if not drawing.shapes:
            continue
        size = drawing.size or extent_of(drawing)
        if size[0] * size[1] > MOST_LOOKED_AT:
            continue  # the import refuses shapes that share pixels, if these do
        whole = np.zeros(size, np.int32)
        numbers = {name: n for n, name in enumerate(drawing.names, start=1)}
        for place, shape in enumerate(drawing.shapes, start=1):
            value = place if instances else numbers[shape.name]
            for (i, j), inside in stamps(path, shape, size):
                part = whole[i, j]
                shared |= bool((inside & (part != 0) & (part != value)).any())
                part[inside] = value
                sizes[shape.name] += int(inside.sum())
    return sizes, shared
