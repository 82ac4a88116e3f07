"""Documents that hold the labels of all images: what they say, and how to import."""

import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from segpipe.tools.importing.conversion import ImportOptions
from segpipe.tools.importing.finding.documents import (
    SUFFIXES,
    case_names,
    find_images,
    folder_of,
    kind_of,
    read_drawings,
)
from segpipe.tools.importing.proposal.images import look_at_images
from segpipe.tools.importing.proposal.labels import Meaning, propose_overlaps
from segpipe.tools.importing.proposal.patients import list_cases, propose_patients
from segpipe.tools.importing.proposal.values import BUDGET_S, measure_overlaps
from segpipe.tools.importing.reading.painting import Painting
from segpipe.tools.importing.reading.panoptic import Segments
from segpipe.tools.importing.reading.shapes import geojson
from segpipe.tools.importing.reading.shapes.drawing import Drawing, extent_of, stamps
from segpipe.tools.importing.reading.vocabulary import BACKGROUND, IGNORE, is_plain

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
    drawn, inside = read_drawings(path), path.relative_to(source).as_posix()
    drawings = {name: one.drawing for name, one in drawn.items() if one.drawing}
    segments = [one.segments for one in drawn.values() if one.segments]
    counted = count_segments(segments) if segments else count_shapes(drawings)
    lines = [f"{inside}: {kind_of(path)}, {counted}"]
    files = find_images(source, None, drawn, without=folder_of(path))
    missing = [name for name, found in files.items() if not found]
    if missing or not (segments or any(one.shapes for one in drawings.values())):
        what = f"no file of {len(missing)} images, as {missing[0]}" if missing else ""
        return [*lines, what or "nothing to import"], Meaning(())
    options = ImportOptions(labels=inside, images=_folder(source, files))
    if any(len(found) > 1 for found in files.values()) and options.images is None:
        lines.append("several files of one name: where are the images? --images FOLDER")
        return lines, Meaning(())
    cases = sorted(case_names(drawn).values())
    first = [found[0] for found in files.values()]
    image = look_at_images(first, ImportOptions())
    lines += [list_cases(cases), *image.lines(first[0])]
    options = replace(options, grey=image.grey)
    options, line = propose_patients(options, source, cases)
    if segments:
        found, said = _propose_segments(options, segments)
    else:
        found, said = propose_shapes(options, path, drawings)
    return [*lines, line, *said], Meaning((found,))


def count_segments(segments: Sequence[Segments]) -> str:
    """The number of images and of the segments of each kind, in a line."""
    counts = Counter(kind for one in segments for kind in one.kinds.values())
    return f"segments on {len(segments)} images: {_listed(counts)}"


def _propose_segments(
    options: ImportOptions, segments: Sequence[Segments]
) -> tuple[ImportOptions, list[str]]:
    """Propose each kind as a structure, and say of which ids are kept."""
    found = {kind for one in segments for kind in one.kinds.values()}
    names = sorted(found - {BACKGROUND})  # which is what no structure is
    kept = [name for name in names if name in segments[0].things]
    lines = [f"instances of {', '.join(kept)}"] if kept else []
    lines.append("pixels of no segment and crowds are not annotated")
    structures = {name: (name,) for name in names}
    plain = all(is_plain(name) or name == IGNORE for name in names)
    return replace(options, structures=structures if plain else {}), lines


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
    return f"shapes on {len(drawings)} images: {_listed(counts)}"


def _listed(counts: Counter[str]) -> str:
    kinds = ", ".join(f"{name} {number}" for name, number in counts.most_common(SHOWN))
    more = f" and {len(counts) - SHOWN} kinds more" if len(counts) > SHOWN else ""
    return f"{kinds or 'none'}{more}"


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
    seen = list(dict.fromkeys(n for one in drawings.values() for n in one.names))
    names = [name for name in seen if name != geojson.IGNORED]
    several = any(len(one.shapes) > 1 for one in drawings.values())
    crowd = any(shape.crowd for one in drawings.values() for shape in one.shapes)
    ignored = {IGNORE: (geojson.IGNORED,)} if names != seen else {}
    if len(names) == 1 and several and not crowd and not ignored:
        shared = _share_pixels(path, drawings)
        lines = ["each shape is an instance"]
        if shared:
            lines.append("some pixels lie in two shapes: the later one gets them")
        options = replace(
            options,
            structures={names[0]: (names[0],)} if is_plain(names[0]) else {},
            instances=True,
            overlap="last" if shared else None,
        )
        return options, lines
    found = measure_overlaps(_masks(path, one) for one in _usual(drawings))
    options, lines = propose_overlaps(options, names, found)
    if len(names) > 1 and several:
        lines.append("instances of one kind: --instances --structure NAME=KIND")
    if ignored:
        lines.append(f"{geojson.IGNORED} is not annotated, also where others are")
        shared = any(n for p, n in found.shared.items() if geojson.IGNORED in p)
        options = replace(options, overlap="last" if shared else options.overlap)
    structures = {**options.structures, **ignored}
    plain = all(is_plain(name) for name in names)
    return replace(options, structures=structures if plain else {}), lines


def _usual(drawings: Mapping[str, Drawing]) -> Iterator[Drawing]:
    """The drawings on images of usual size.

    A document states any size, and it is compared with that of the image at the import,
    which refuses shapes that share pixels if nobody decides.
    """
    for one in drawings.values():
        columns, rows = one.size or extent_of(one)
        if one.shapes and columns * rows <= MOST_LOOKED_AT:
            yield one


def _masks(path: Path, drawing: Drawing) -> Iterator[tuple[str, np.ndarray]]:
    """The name and the pixels of each kind of shape on an image."""
    size = drawing.size or extent_of(drawing)
    for name in drawing.names:
        whole = np.zeros(size, bool)
        for shape in drawing.shapes:
            for (i, j), inside in (
                stamps(path, shape, size) if shape.name == name else ()
            ):
                whole[i, j] |= inside
        yield name, whole


def _share_pixels(path: Path, drawings: Mapping[str, Drawing]) -> bool:
    """Whether two shapes of an image share a pixel, as far as time allows."""
    start = time.monotonic()
    for drawing in _usual(drawings):
        size = drawing.size or extent_of(drawing)
        painting = Painting(np.zeros((*size, 1), np.int32), "last")
        for number, shape in enumerate(drawing.shapes, start=1):
            for (i, j), inside in stamps(path, shape, size):
                painting.paint(inside, number, (i, j, 0))
        if painting.contested or time.monotonic() - start > BUDGET_S:
            return bool(painting.contested)
    return False
