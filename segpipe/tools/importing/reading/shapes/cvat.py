"""CVAT: the XML "CVAT for images 1.1" with the shapes on all images of a task.

The format: https://docs.cvat.ai, "CVAT for image". The runs of a mask go along the
rows of its box and begin outside.
"""

from collections import Counter
from pathlib import Path
from typing import Never
from xml.parsers import expat

import numpy as np

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

START = 1 << 16  # bytes in which the root and its version stand
LINES = ("polyline", "points", "cuboid", "skeleton", "tag")
AREAS = ("polygon", "box", "mask")
Fields = dict[str, str]


def is_cvat(path: Path) -> bool:
    """Whether a file is XML with the root of CVAT's annotations."""
    if path.suffix.lower() != ".xml" or not path.is_file():
        return False
    with path.open("rb") as file:
        return b"<annotations" in file.read(START)


def read_cvat(path: Path) -> dict[str, Drawing]:
    """Read the drawing of each image, by the name of its file in the document.

    Raises:
        DataError: If it is damaged, of a video, has a document type, or shapes that
            cannot be read.
    """
    reader = _Reader(path)
    content = read_bounded(path)
    parser = expat.ParserCreate()
    parser.StartElementHandler = reader.start
    parser.StartDoctypeDeclHandler = reader.refuse_type
    try:
        parser.Parse(content, True)
    except expat.ExpatError as error:
        raise DataError(
            f"{path}: expected whole XML, found {error}; export it again"
        ) from error
    return {
        name: Drawing(tuple(reader.shapes[name]), size, _dropped(reader.lines[name]))
        for name, size in reader.sizes.items()
    }


def _dropped(lines: Counter[str]) -> tuple[str, ...]:
    return tuple(f"{n} of {kind}, which has no area" for kind, n in lines.items())


class _Reader:
    """Collects the shapes of each image while the XML is read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.sizes: dict[str, tuple[int, int]] = {}
        self.shapes: dict[str, list[Shape]] = {}
        self.lines: dict[str, Counter[str]] = {}
        self._image = ""

    def refuse_type(self, *_: object) -> Never:
        """Refuse a document type, whose entities could stand for anything."""
        raise DataError(
            f"{self.path}: expected XML without a document type, found <!DOCTYPE; "
            "export it again from CVAT, which writes none"
        )

    def start(self, kind: str, fields: Fields) -> None:
        """Take an element."""
        if kind == "image":
            self._start_image(fields)
        elif kind == "track":
            raise DataError(
                f"{self.path}: expected images, found tracks of a video; export the "
                'task as "CVAT for images 1.1"'
            )
        elif kind in LINES and self._image:
            self.lines[self._image][kind] += 1
        elif kind in AREAS and self._image:
            where = f"{self._image}, {kind} {len(self.shapes[self._image]) + 1}"
            part = self._part(kind, fields, where)
            label = self._field(fields, "label", where)
            self.shapes[self._image].append(Shape(label, (part,)))
        elif kind == "ellipse" and self._image:
            raise DataError(
                f"{self.path}: expected polygons, boxes and masks on {self._image}, "
                "found an ellipse; draw it as a polygon or mask in CVAT"
            )

    def _start_image(self, fields: Fields) -> None:
        name = self._field(fields, "name", "an image")
        columns, rows = self._numbers(fields, ("width", "height"), name)
        size = (int(columns), int(rows))
        if min(size) < 1 or size[0] * size[1] > MOST_PIXELS or name in self.sizes:
            raise DataError(
                f"{self.path}: expected the size of {name} in pixels, once, found "
                f"{size[0]} x {size[1]}; export it again"
            )
        self._image = name
        self.sizes[name], self.shapes[name] = size, []
        self.lines[name] = Counter()

    def _part(self, kind: str, fields: Fields, where: str) -> Rings | Runs:
        if kind == "polygon":
            pairs = self._field(fields, "points", where).split(";")
            words = [word for pair in pairs for word in pair.split(",")]
            corners = self._parsed(words, where)
            if len(corners) != 2 * len(pairs):
                raise self._fault(
                    "x,y of each corner", where, f"{len(corners)} numbers"
                )
            return Rings((ring_of(self.path, np.reshape(corners, (-1, 2)), where),))
        if kind == "box":
            names = ("xtl", "ytl", "xbr", "ybr")
            left, top, right, bottom = self._numbers(fields, names, where)
            if self._parsed([fields.get("rotation", "0")], where) != [0.0]:
                raise self._fault("an upright box", where, "a turned one")
            corners = [left, top, right, top, right, bottom, left, bottom]
            return Rings((ring_of(self.path, np.reshape(corners, (-1, 2)), where),))
        box = self._numbers(fields, ("left", "top", "width", "height"), where)
        start, size = (int(box[0]), int(box[1])), (int(box[2]), int(box[3]))
        words = self._field(fields, "rle", where).split(",")
        lengths = [int(one) for one in self._parsed(words, where)]
        return runs_of(self.path, lengths, (start, size), where, by_columns=False)

    def _field(self, fields: Fields, name: str, where: str) -> str:
        if not fields.get(name, "").strip():
            raise self._fault(name, where, "none")
        return fields[name].strip()

    def _numbers(
        self, fields: Fields, names: tuple[str, ...], where: str
    ) -> list[float]:
        return self._parsed([self._field(fields, one, where) for one in names], where)

    def _parsed(self, words: list[str], where: str) -> list[float]:
        try:
            numbers = [float(word) for word in words]
        except ValueError as error:
            raise self._fault("numbers", where, str(error)) from error
        if not np.isfinite(numbers).all():
            raise self._fault("finite numbers", where, "others")
        return numbers

    def _fault(self, wanted: str, where: str, found: str) -> DataError:
        return DataError(
            f"{self.path}: expected {wanted} in {where}, found {found}; correct it in "
            "CVAT and export it again"
        )
