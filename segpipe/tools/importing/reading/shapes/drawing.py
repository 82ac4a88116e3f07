"""Drawing: the shapes that a document has on one image, and which pixels they hold.

Coordinates are x (columns) and y (rows) in pixels; the first pixel reaches from 0 to 1,
so that its centre is at 0.5. A polygon holds the pixels whose centre is inside, by the
even-odd rule over its rings; of a centre on the outline, the left and the upper are
inside, so that polygons with a common edge share no pixel. The parts of a shape are
united.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float64, Int64

from segpipe.project.errors import DataError

LARGEST_FILE = 1 << 29  # bytes of a document
MOST_PIXELS = 1 << 30  # of an image
MOST_POINTS = 100_000  # of a shape
MARGIN = 2.0  # pixels that an outline may lie outside of its image
CHUNK = 1 << 20  # crossings of outline and rows that are computed at once
Box = tuple[slice, slice]


@dataclass(frozen=True)
class Rings:
    """A polygon: its outline, and the outlines of its holes.

    Attributes:
        rings: Corners of each ring, x and y; the last is joined to the first.
    """

    rings: tuple[Float64[np.ndarray, "_ 2"], ...]


@dataclass(frozen=True)
class Runs:
    """Lengths of runs of pixels outside and inside, in turns, in a box of the image.

    Attributes:
        lengths: The lengths; the first is outside.
        start: Column and row at which the box begins.
        size: Columns and rows of the box.
        by_columns: Whether the runs go down the columns, or else along the rows.
    """

    lengths: Int64[np.ndarray, " runs"]
    start: tuple[int, int]
    size: tuple[int, int]
    by_columns: bool


@dataclass(frozen=True)
class Shape:
    """One object on an image.

    Attributes:
        name: What the document calls its kind.
        parts: What it consists of.
        crowd: Whether it stands for several objects that nobody told apart.
    """

    name: str
    parts: tuple[Rings | Runs, ...]
    crowd: bool = False


@dataclass(frozen=True)
class Drawing:
    """All shapes on one image, in the order of the document.

    Attributes:
        shapes: The shapes.
        size: Columns and rows of the image, if the document states them.
        dropped: What the document holds that is no area, in sentences.
    """

    shapes: tuple[Shape, ...]
    size: tuple[int, int] | None = None
    dropped: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The kinds of the shapes, each once."""
        return tuple(dict.fromkeys(shape.name for shape in self.shapes))


def read_bounded(path: Path) -> bytes:
    """Read a document, unless it is larger than any can be.

    Raises:
        DataError: If it is missing or too large.
    """
    if not path.is_file():
        raise DataError(f"{path}: expected a document of shapes, found none")
    size = path.stat().st_size
    if size > LARGEST_FILE:
        raise DataError(
            f"{path}: expected at most {LARGEST_FILE >> 20} MB, found {size >> 20} MB; "
            "split it, and join the parts with --add"
        )
    return path.read_bytes()


def ring_of(path: Path, points: np.ndarray, where: str) -> np.ndarray:
    """The corners of a ring, checked.

    Args:
        path: The document.
        points: The corners, x and y.
        where: What the ring belongs to, for the error.

    Raises:
        DataError: If they are too few or too many, or not finite.
    """
    corners = np.asarray(points, np.float64)
    sound = corners.ndim == 2 and corners.shape[1:] == (2,)
    if not sound or not 3 <= len(corners) <= MOST_POINTS:
        raise DataError(
            f"{path}: expected from 3 to {MOST_POINTS} corners of a polygon in {where},"
            f" found {corners.size // 2}; correct or delete it"
        )
    if not np.isfinite(corners).all():
        raise DataError(
            f"{path}: expected finite coordinates in {where}, found others; correct it"
        )
    return corners


def runs_of(
    path: Path,
    lengths: list[int],
    box: tuple[tuple[int, int], tuple[int, int]],
    where: str,
    *,
    by_columns: bool,
) -> Runs:
    """Runs in a box (its start and its size), checked.

    Raises:
        DataError: If the lengths do not fill the box, or it is larger than any image.
    """
    start, size = box
    whole = max(size[0], 0) * max(size[1], 0)
    if whole > MOST_PIXELS or max(map(abs, start)) > MOST_PIXELS:
        raise DataError(
            f"{path}: expected run lengths of an image of at most {MOST_PIXELS} pixels "
            f"in {where}, found more; write the document again"
        )
    if min(lengths, default=-1) < 0 or sum(lengths) != whole or not whole:
        raise DataError(
            f"{path}: expected run lengths that fill {size[0]} x {size[1]} pixels in "
            f"{where}, found {sum(lengths)}; write the document again"
        )
    return Runs(np.asarray(lengths, np.int64), start, size, by_columns)


def stamps(
    path: Path, shape: Shape, size: tuple[int, int]
) -> Iterator[tuple[Box, Bool[np.ndarray, "i j"]]]:
    """Yield the pixels of each part of a shape: a box of the image, and which are in.

    Args:
        path: The document, for the error.
        shape: The shape.
        size: Columns and rows of the image.

    Raises:
        DataError: If the shape lies outside the image.
    """
    for part in shape.parts:
        if isinstance(part, Runs):
            low, high = np.array(part.start), np.add(part.start, part.size)
            margin = 0.0
        else:
            corners = np.concatenate(part.rings)
            low, high, margin = corners.min(axis=0), corners.max(axis=0), MARGIN
        if (low < -margin).any() or (high > np.add(size, margin)).any():
            raise DataError(
                f"{path}: expected {shape.name} inside the image of {size[0]} x "
                f"{size[1]} pixels, found it from {low[0]:g}, {low[1]:g} to "
                f"{high[0]:g}, {high[1]:g}; was the image scaled or cut after it was "
                "drawn? Give the image that was drawn on"
            )
        if isinstance(part, Runs):
            yield _box(low, high), _filled_by_runs(part)
        else:
            start = np.clip(np.floor(low), 0, size).astype(int)
            stop = np.clip(np.ceil(high), start, size).astype(int)
            yield _box(start, stop), _filled(part, start, stop - start)


def extent_of(drawing: Drawing) -> tuple[int, int]:
    """The smallest size of an image on which polygons lie, at most MOST_PIXELS."""
    rings = [
        ring
        for shape in drawing.shapes
        for part in shape.parts
        if isinstance(part, Rings)
        for ring in part.rings
    ]
    longest = MOST_PIXELS**0.5
    high = np.concatenate(rings).max(axis=0) if rings else np.ones(2)
    columns, rows = np.ceil(np.clip(high, 1, longest)).astype(int).tolist()
    return columns, rows


def _box(start: np.ndarray, stop: np.ndarray) -> Box:
    (i, j), (end_i, end_j) = start.tolist(), stop.tolist()
    return slice(i, end_i), slice(j, end_j)


def _filled_by_runs(part: Runs) -> np.ndarray:
    inside = np.arange(len(part.lengths)) % 2 == 1
    flat = np.repeat(inside, part.lengths)
    return (
        flat.reshape(part.size) if part.by_columns else flat.reshape(part.size[::-1]).T
    )


def _filled(part: Rings, start: np.ndarray, size: np.ndarray) -> np.ndarray:
    """The pixels of a box whose centre an odd number of edges has on its left."""
    columns, rows = (int(length) for length in size)
    begins = np.concatenate(part.rings) - start - 0.5
    ends = np.concatenate([np.roll(ring, -1, axis=0) for ring in part.rings])
    ends = ends - start - 0.5  # now the centre of pixel n is at n
    low, high = np.minimum(begins, ends)[:, 1], np.maximum(begins, ends)[:, 1]
    first = np.clip(np.ceil(low), 0, rows).astype(np.int64)
    number = np.clip(np.ceil(high), 0, rows).astype(np.int64) - first
    flips = np.zeros((columns + 1) * rows, np.int64)
    cuts = np.searchsorted(np.cumsum(number), np.arange(0, number.sum(), CHUNK))
    for one in np.split(np.arange(len(number)), np.unique(cuts)[1:]):
        edge = np.repeat(one, number[one])
        before = np.repeat(np.cumsum(number[one]) - number[one], number[one])
        row = first[edge] + np.arange(len(edge)) - before
        (x, y), (other_x, other_y) = begins[edge].T, ends[edge].T
        crossing = x + (row - y) * (other_x - x) / (other_y - y)
        column = np.clip(np.ceil(crossing), 0, columns).astype(np.int64)
        flips += np.bincount(column * rows + row, minlength=len(flips))
    on_left = np.cumsum(flips.reshape(columns + 1, rows), axis=0)[:-1]
    return np.asarray(on_left % 2 == 1)
