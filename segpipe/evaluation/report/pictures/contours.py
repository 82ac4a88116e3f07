"""Contours: the outlines of regions, and how they are drawn on any image.

The prediction is a solid line in the colour of its structure, the reference a thin
white dashed line over it. Both have a dark border, so that one of the two has contrast
with whatever lies below, and they differ in width and dashes, not by colour alone.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from contourpy import FillType, LineType, SerialContourGenerator, ZInterp
from jaxtyping import Float64, Integer
from scipy import ndimage

# Okabe and Ito 2008, Color Universal Design: distinguishable with any colour vision.
# Black is left out, since lines have a black border. The first is for what has no
# instances, the second for a single structure.
COLOURS = (
    "#F0E442",
    "#56B4E9",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#D55E00",
    "#0072B2",
)
BORDER = "#000000"
OVER = "#FFFFFF"  # the reference over predictions
# Widths of lines in points (pixels of the page), and the dashes of the reference.
WIDE, THIN, MARGIN = 2.2, 1.1, 1.4
DASHES = (4.0, 3.0)

Line = Float64[np.ndarray, "_ 2"]  # points (x, y)


def colour_of(number: int) -> str:
    """The colour of a region; with more structures than colours they repeat."""
    return COLOURS[number % len(COLOURS)]


def outlines(
    regions: Integer[np.ndarray, "row column"],
) -> Iterator[tuple[int, list[Line]]]:
    """The number of each region and its closed outlines.

    Returns:
        Lines of points (x, y) in pixels from the upper left corner of the image, where
        the centre of the first pixel is (0.5, 0.5). They run half way between pixels
        inside and outside.
    """
    numbers, compact = np.unique(regions, return_inverse=True)
    compact = compact.reshape(regions.shape) + (0 if numbers[0] == 0 else 1)
    known = numbers[numbers != 0].tolist()
    for place, box in enumerate(ndimage.find_objects(compact), start=1):
        if box is None:
            continue
        mask = np.pad(compact[box] == place, 1).astype(np.float64)
        lines = _lines(mask)
        corner = np.array([box[1].start - 0.5, box[0].start - 0.5])
        yield known[place - 1], [_straightened(line) + corner for line in lines]


def _lines(mask: Float64[np.ndarray, "row column"]) -> list[Line]:
    """Closed lines half way between 0 and 1, as contour_generator's ``serial`` gives.

    That function first looks for masked and invalid values, half of its time.
    """
    rows, columns = mask.shape
    x, y = np.meshgrid(np.arange(columns, dtype=float), np.arange(rows, dtype=float))
    made = SerialContourGenerator(
        x,
        y,
        mask,
        np.zeros(mask.shape, dtype=bool),
        corner_mask=True,
        line_type=LineType.Separate,
        fill_type=FillType.OuterOffset,
        quad_as_tri=False,
        z_interp=ZInterp.Linear,
    )
    found: Any = made.lines(0.5)
    return list(found)


def _straightened(line: Line) -> Line:
    """The same closed line without points between two others on a straight line."""
    steps = np.diff(line, axis=0)
    other = steps[1:] != steps[:-1]
    kept = np.ones(len(line), dtype=bool)
    kept[1:-1] = other[:, 0] | other[:, 1]
    return np.asarray(line[kept])


def middles(
    regions: Integer[np.ndarray, "row column"],
) -> Iterator[tuple[int, tuple[float, float]]]:
    """The number of each region and the point (x, y) that lies deepest inside."""
    numbers = np.unique(regions)
    for number in numbers[numbers != 0].tolist():
        mask = regions == number
        rows, columns = np.nonzero(mask)
        box = (
            slice(rows.min(), rows.max() + 1),
            slice(columns.min(), columns.max() + 1),
        )
        depth = ndimage.distance_transform_edt(np.pad(mask[box], 1))
        row, column = np.unravel_index(int(depth.argmax()), depth.shape)
        yield number, (columns.min() + column - 0.5, rows.min() + row - 0.5)


def svg_path(lines: list[Line]) -> str:
    """Closed lines as the data of an SVG path, in half pixels, which are whole."""
    parts = []
    for line in lines:
        points = np.rint(line * 2).astype(np.int64)
        steps = np.diff(points, axis=0)[:-1].ravel()
        start = " ".join(map(str, points[0]))
        parts.append(f"M{start}l{' '.join(map(str, steps.tolist()))}z")
    return "".join(parts)
