"""COCO: a JSON document with the outlines of objects on all images of a set.

The format: https://cocodataset.org/#format-data, "Object Detection". Run lengths go
down the columns; packed ones are decoded as rleFrString of the COCO API does.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from segpipe.project.errors import DataError
from segpipe.tools.importing.reading.shapes.drawing import (
    MOST_PIXELS,
    Drawing,
    Rings,
    Runs,
    Shape,
    read_bounded,
    ring_of,
    runs_of,
)

KEYS = (b'"images"', b'"annotations"', b'"categories"')
MOST_BITS = 40  # of a packed run length
SHOWN = 4  # faults listed in an error


class Part(BaseModel):
    """A part of a document of COCO; what it holds besides is left alone."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class Picture(Part):
    """An image of the document."""

    id: int | str
    file_name: str
    width: int
    height: int


class Category(Part):
    """A kind of objects."""

    id: int | str
    name: str


class _Lengths(Part):
    size: tuple[int, int]
    counts: list[int] | str


class _Annotation(Part):
    id: int | str | None = None
    image_id: int | str
    category_id: int | str
    segmentation: list[list[float]] | _Lengths | None = None
    iscrowd: int | bool = 0


class _Coco(Part):
    images: list[Picture]
    annotations: list[_Annotation]
    categories: list[Category]


Document = TypeVar("Document", bound=Part)


def is_coco(path: Path) -> bool:
    """Whether a file is JSON with the keys of COCO's format, perhaps damaged."""
    return has_keys(path, KEYS)


def has_keys(path: Path, keys: Collection[bytes]) -> bool:
    """Whether a file is JSON in which all keys stand, with their quotes."""
    if path.suffix.lower() != ".json" or not path.is_file():
        return False
    content = read_bounded(path)
    return all(key in content for key in keys)


def parse(path: Path, kind: type[Document]) -> Document:
    """Read a document of COCO as what it is.

    Raises:
        DataError: If it is missing, too large or damaged, or lacks a part.
    """
    try:
        return kind.model_validate_json(read_bounded(path))
    except ValidationError as error:
        listed = error.errors(include_url=False, include_input=False)[:SHOWN]
        faults = "; ".join(
            f"{'.'.join(map(str, one['loc'])) or 'document'}: {one['msg']}"
            for one in listed
        )
        raise DataError(
            f"{path}: expected COCO's images, annotations and categories, found "
            f"{faults}; export it again"
        ) from error


def check_pictures(path: Path, pictures: list[Picture]) -> None:
    """Check the images of a document.

    Raises:
        DataError: If one has no usual size, or two have one id or name.
    """
    for picture in pictures:
        size = picture.width, picture.height
        if min(size) < 1 or size[0] * size[1] > MOST_PIXELS:
            raise DataError(
                f"{path}: expected the size of {picture.file_name} in pixels, found "
                f"{size[0]} x {size[1]}; export it again"
            )
    ids = {picture.id for picture in pictures}
    names = {picture.file_name for picture in pictures}
    if len(names) < len(pictures) or len(ids) < len(pictures):
        raise DataError(
            f"{path}: expected one entry of each image, found an id or file_name twice;"
            " export it again"
        )


def index_categories(
    path: Path, categories: Sequence[Category]
) -> dict[int | str, str]:
    """The names of the categories of a document by their ids.

    Raises:
        DataError: If two have one id.
    """
    kinds = {category.id: category.name for category in categories}
    if len(kinds) < len(categories):
        ids = Counter(category.id for category in categories)
        twice = next(one for one, number in ids.items() if number > 1)
        raise DataError(
            f"{path}: expected one category of each id, found {twice} twice; give each "
            "its own, and export it again"
        )
    return kinds


def read_coco(path: Path) -> dict[str, Drawing]:
    """Read the drawing of each image, by the name of its file in the document.

    Raises:
        DataError: If it is damaged, contradicts itself, or has objects without outline.
    """
    document = parse(path, _Coco)
    kinds = index_categories(path, document.categories)
    pictures = {picture.id: picture for picture in document.images}
    shapes: dict[int | str, list[Shape]] = defaultdict(list)
    for place, one in enumerate(document.annotations):
        where = f"annotation {place if one.id is None else one.id}"
        if one.image_id not in pictures or one.category_id not in kinds:
            raise DataError(
                f"{path}: expected an image and a category that the document lists in "
                f"{where}, found image {one.image_id} and category {one.category_id}; "
                "export it again"
            )
        picture = pictures[one.image_id]
        parts = _parts(path, one, (picture.width, picture.height), where)
        shapes[picture.id].append(
            Shape(kinds[one.category_id], parts, bool(one.iscrowd))
        )
    check_pictures(path, document.images)
    return {
        picture.file_name: Drawing(
            tuple(shapes[picture.id]), (picture.width, picture.height)
        )
        for picture in document.images
    }


def _parts(
    path: Path, one: _Annotation, size: tuple[int, int], where: str
) -> tuple[Rings | Runs, ...]:
    found = one.segmentation
    if not found:
        raise DataError(
            f"{path}: expected an outline (segmentation) in {where}, found none; a box "
            "says not which pixels are inside: draw it, or delete the annotation"
        )
    if isinstance(found, _Lengths):
        counts = found.counts
        lengths = _unpacked(path, counts, where) if isinstance(counts, str) else counts
        rows, columns = found.size
        if (columns, rows) != size:
            raise DataError(
                f"{path}: expected run lengths of {size[0]} x {size[1]} pixels in "
                f"{where}, found {columns} x {rows}; export it again"
            )
        return (runs_of(path, lengths, ((0, 0), size), where, by_columns=True),)
    if any(len(part) % 2 for part in found):
        raise DataError(
            f"{path}: expected x and y of each corner in {where}, found an odd number "
            "of coordinates; export it again"
        )
    return tuple(
        Rings((ring_of(path, np.reshape(part, (-1, 2)), where),)) for part in found
    )


def _unpacked(path: Path, text: str, where: str) -> list[int]:
    """Run lengths from letters of 5 bits each; from the fourth on they are steps."""
    lengths: list[int] = []
    value = shift = 0
    for letter in text.encode():
        bits = letter - 48
        if not 0 <= bits < 64 or shift > MOST_BITS:
            raise DataError(
                f"{path}: expected packed run lengths in {where}, found "
                f"{chr(letter)!r} at a wrong place; export it again"
            )
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:  # more letters follow
            continue
        value -= (bits & 16) << (shift - 4)  # the sign
        lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
        value = shift = 0
    return lengths
