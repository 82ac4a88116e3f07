"""Panoptic: COCO's document of segments, and the PNG of their ids beside each image.

The format: https://cocodataset.org/#format-data, "Panoptic Segmentation". The colour of
a pixel is the id of its segment; id 0 is void, a pixel of no segment.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int32

from segpipe.images.borders import number_from_one
from segpipe.images.formats.files import read_image
from segpipe.images.formats.panoptic import (
    LARGEST_SEGMENT,
    from_colours,
    merge_segments,
)
from segpipe.images.grid import Grid
from segpipe.images.volume import LabelMap
from segpipe.project.errors import DataError
from segpipe.tools.importing.reading.shapes import coco

UNTOLD = VOID, CROWD = "void*", "crowd*"  # as sources: what nobody told apart
MOST_SEGMENTS = (1 << 16) - 1  # of an image: PNG has no larger ids of instances
SHOWN = 4  # ids listed in an error


class _Category(coco.Category):
    isthing: bool


class _Segment(coco.Part):
    id: int
    category_id: int | str
    iscrowd: bool = False


class _Annotation(coco.Part):
    image_id: int | str
    file_name: str
    segments_info: list[_Segment]


class _Document(coco.Part):
    images: list[coco.Picture]
    annotations: list[_Annotation]
    categories: list[_Category]


@dataclass(frozen=True)
class Segments:
    """The segments of one image, whose pixels a PNG has.

    Attributes:
        document: The document, for errors.
        file: The PNG.
        size: Columns and rows of the image.
        kinds: The kind of each segment, by its id.
        crowds: Ids of segments that stand for several objects.
        things: All kinds of the document that have instances.
    """

    document: Path
    file: Path
    size: tuple[int, int]
    kinds: Mapping[int, str]
    crowds: frozenset[int]
    things: frozenset[str]

    def values(self, sources: Mapping[int | str, int]) -> dict[int, int]:
        """The value of each segment and of void, by those of kinds; 0 for none."""
        found = {one: sources.get(kind, 0) for one, kind in self.kinds.items()}
        asked = {one for one in self.crowds if found[one]}
        crowd = dict.fromkeys(asked, sources.get(CROWD, 0))
        return {0: sources.get(VOID, 0)} | found | crowd


def is_panoptic(path: Path) -> bool:
    """Whether a file is JSON with the keys of COCO's panoptic format."""
    return coco.has_keys(path, (*coco.KEYS, b'"segments_info"'))


def read_panoptic(path: Path) -> dict[str, Segments]:
    """Read the segments of each image that has some, by the name of its file.

    The PNG files are in the folder beside the document that has its name.

    Raises:
        DataError: If the document is damaged or too large, contradicts itself, or names
            a PNG that is not there.
    """
    document = coco.parse(path, _Document)
    coco.check_pictures(path, document.images)
    pictures = {picture.id: picture for picture in document.images}
    categories = coco.index_categories(path, document.categories)
    things = _things(path, document.categories)
    found: dict[str, Segments] = {}
    for place, one in enumerate(document.annotations):
        if one.image_id not in pictures:
            raise DataError(
                f"{path}: expected an image that the document lists in annotation "
                f"{place}, found image {one.image_id}; export it again"
            )
        picture = pictures[one.image_id]
        if picture.file_name in found:
            raise DataError(
                f"{path}: expected one annotation of {picture.file_name}, found "
                "several; delete all but one"
            )
        found[picture.file_name] = Segments(
            path,
            _png(path, one.file_name),
            (picture.width, picture.height),
            _kinds(path, one, categories),
            frozenset(segment.id for segment in one.segments_info if segment.iscrowd),
            things,
        )
    return found


def _things(path: Path, categories: list[_Category]) -> frozenset[str]:
    """The names of the categories that have instances."""
    things = frozenset(one.name for one in categories if one.isthing)
    if stuff := things & {one.name for one in categories if not one.isthing}:
        raise DataError(
            f"{path}: expected each category as a thing or as stuff (isthing), found "
            f"{min(stuff)} as both; give one of them another name"
        )
    return things


def _png(path: Path, name: str) -> Path:
    """The PNG of an annotation: a file of the folder beside the document, no other."""
    folder = path.with_suffix("")
    file = folder / name
    if Path(name).name != name or file.suffix.lower() != ".png" or not file.is_file():
        raise DataError(
            f"{path}: expected the PNG of each annotation in the folder {folder.name} "
            f"beside the document, found no {name!r} there; give the folder of the "
            "PNG files the name of the document without .json"
        )
    return file


def _kinds(
    path: Path, one: _Annotation, categories: Mapping[int | str, str]
) -> dict[int, str]:
    """The kind of each segment of an image, checked."""
    where = f"the segments of {one.file_name}"
    if len(one.segments_info) > MOST_SEGMENTS:
        raise DataError(
            f"{path}: expected at most {MOST_SEGMENTS} in {where}, found "
            f"{len(one.segments_info)}; cut the image into tiles"
        )
    kinds: dict[int, str] = {}
    for segment in one.segments_info:
        if not 1 <= segment.id <= LARGEST_SEGMENT or segment.id in kinds:
            raise DataError(
                f"{path}: expected ids from 1 to {LARGEST_SEGMENT}, each once, in "
                f"{where}, found {segment.id}; number the segments again"
            )
        if segment.category_id not in categories:
            raise DataError(
                f"{path}: expected a category that the document lists in {where}, "
                f"found {segment.category_id}; add it to the categories"
            )
        kinds[segment.id] = categories[segment.category_id]
    return kinds


def read_segments(segments: Segments, dropped: list[str]) -> Int32[np.ndarray, "i j k"]:
    """Read the id of each pixel; 0 is void.

    Args:
        segments: What the document says of them.
        dropped: Receives the segments that have no pixel, in a sentence.

    Raises:
        DataError: If the PNG is damaged or no colours of 8 bits, has another size than
            the document states, or ids that the document does not list.
    """
    path = segments.file
    colours = read_image(path).array
    if len(colours) != 3 or colours.max() >= 256:
        raise DataError(
            f"{path}: expected ids in red, green and blue of 8 bits, found "
            f"{len(colours)} channels up to {colours.max():g}; save it as a PNG of RGB"
        )
    if colours.shape[1:] != (*segments.size, 1):
        raise DataError(
            f"{path}: expected {segments.size[0]} x {segments.size[1]} pixels, as "
            f"{segments.document.name} states, found {colours.shape[1]} x "
            f"{colours.shape[2]}; export both again"
        )
    ids = from_colours(colours)
    found = {int(one) for one in np.unique(ids)}
    if strange := sorted(found - {0, *segments.kinds}):
        raise DataError(
            f"{path}: expected segments that {segments.document.name} lists, found "
            f"{', '.join(map(str, strange[:SHOWN]))}; add them to segments_info, or "
            "give their pixels the id 0"
        )
    if lacking := segments.kinds.keys() - found:
        dropped.append(f"{len(lacking)} segments of the document that have no pixel")
    return ids


def names_of(segments: Segments) -> tuple[str, ...]:
    """The kinds of segments on an image, and whether there is void or a crowd."""
    names = dict.fromkeys(segments.kinds.values())
    if segments.crowds:
        names[CROWD] = None
    if not read_segments(segments, []).all():
        names[VOID] = None
    return tuple(names)


def draw_segments(
    segments: Segments,
    sources: Mapping[int | str, int],
    grid: Grid,
    dropped: list[str],
    assumed: list[str],
) -> LabelMap:
    """The value of each pixel, by the kind of its segment.

    Args:
        segments: The segments.
        sources: Value of each kind, of void and of crowds; 0 leaves it out.
        grid: Grid of the image.
        dropped: Receives what the label map does not hold, in sentences.
        assumed: Receives what the document does not say, in sentences.

    Raises:
        DataError: If the PNG is damaged, or the image has another size.
    """
    if grid.shape != (*segments.size, 1):
        raise DataError(
            f"{segments.document}: expected the image of {segments.file.name}, "
            f"{segments.size[0]} x {segments.size[1]} pixels, found "
            f"{' x '.join(map(str, grid.shape))}; give the image that the document "
            "states"
        )
    ids = read_segments(segments, dropped)
    values = segments.values(sources)
    left_out = Counter(kind for one, kind in segments.kinds.items() if not values[one])
    if left_out:
        found = ", ".join(f"{n} of {kind}" for kind, n in left_out.items())
        dropped.append(f"segments that are background in data/: {found}")
    crowds = sum(bool(sources.get(segments.kinds[one], 0)) for one in segments.crowds)
    if crowds:
        dropped.append(f"{crowds} crowds, whose objects nobody told apart")
    if void := int((ids == 0).sum()):
        assumed.append(f"{void} pixels of no segment are {values[0]} in data/")
    return LabelMap(merge_segments(ids, values), grid)


def draw_instances(
    segments: Segments, sources: Mapping[int | str, int]
) -> Int32[np.ndarray, "i j k"] | None:
    """The things that are asked for, numbered from 1 in the order of their ids.

    Args:
        segments: The segments.
        sources: Value of each kind; 0 leaves it out.

    Returns:
        The instance of each pixel, 0 for none; None if no kind of the document that is
        asked for has instances.
    """
    kept = {kind for kind in segments.things if sources.get(kind, 0)}
    if not kept:
        return None
    chosen = [one for one, kind in segments.kinds.items() if kind in kept]
    ids = read_segments(segments, [])
    things = np.isin(ids, [one for one in chosen if one not in segments.crowds])
    numbers, _ = number_from_one(np.where(things, ids, 0))
    return numbers.astype(np.int32)
