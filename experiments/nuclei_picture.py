"""Picture: outlines of nuclei by each method, side by side on crops of test images."""

import io
from pathlib import Path

import matplotlib as mpl
import numpy as np
import PIL.Image
from jaxtyping import Bool, Integer, UInt8
from matplotlib.figure import Figure
from scipy import ndimage

from experiments.nuclei_sides import Row
from segpipe.evaluation.report.plots import STYLE

Images = dict[str, UInt8[np.ndarray, "row column 3"]]
Labels = dict[str, Integer[np.ndarray, "row column"]]
CROP, STRIDE, ZOOM = 96, 16, 3  # pixels; lines are thinner than magnified ones
LINE = np.array([0, 230, 110], dtype=np.uint8)
SHADES = 96  # of the palette, which keeps the file small


def draw_outlines(
    file: Path, images: Images, labels: dict[str, Labels], rows: dict[str, Row]
) -> None:
    """Write the picture: a row an image, a column a method.

    Args:
        file: PNG to write.
        images: Name to the colours of each test image.
        labels: Title of a column to the instance ids of each image.
        rows: Stain and size of each image.
    """
    names = choose_images(next(iter(labels.values())), rows)
    with mpl.rc_context({**STYLE, "axes.grid": False, "axes.titlesize": 8}):
        size = (1.75 * len(labels), 1.85 * len(names))
        figure = Figure(figsize=size, layout="constrained")
        grid = figure.subplots(len(names), len(labels), squeeze=False)
        for down, name in enumerate(names):
            box = fullest_box(next(iter(labels.values()))[name])
            for across, (title, found) in enumerate(labels.items()):
                axes = grid[down, across]
                axes.imshow(outlined(images[name][box], found[name][box]))
                axes.set_axis_off()
                if down == 0:
                    axes.set_title(title.replace(" + ", " +\n").replace(", ", ",\n"))
        out = io.BytesIO()
        figure.savefig(out, format="png", dpi=110)
    picture = PIL.Image.open(out).convert("RGB").quantize(SHADES)
    picture.save(file, optimize=True)


def choose_images(reference: Labels, rows: dict[str, Row]) -> list[str]:
    """The fullest image of each stain; small and large fluorescence ones apart."""
    groups: dict[tuple[str, bool], str] = {}
    for name, ids in reference.items():
        row = rows[name]
        group = (row.stain, row.stain == "fluorescence" and row.height > 256)
        best = groups.setdefault(group, name)
        if len(np.unique(ids)) > len(np.unique(reference[best])):
            groups[group] = name
    return [groups[group] for group in sorted(groups, reverse=True)]


def fullest_box(ids: Integer[np.ndarray, "row column"]) -> tuple[slice, slice]:
    """The crop that shows most instances, the first of equals."""
    starts = [
        (row, column)
        for row in range(0, max(1, ids.shape[0] - CROP + 1), STRIDE)
        for column in range(0, max(1, ids.shape[1] - CROP + 1), STRIDE)
    ]
    boxes = [
        (slice(row, row + CROP), slice(column, column + CROP)) for row, column in starts
    ]
    return max(boxes, key=lambda box: len(np.unique(ids[box])))


def outlined(
    image: UInt8[np.ndarray, "row column 3"], ids: Integer[np.ndarray, "row column"]
) -> UInt8[np.ndarray, "row column 3"]:
    """The image, magnified and brightened, with a line around each instance."""
    low, high = np.percentile(image, (0.5, 99.5))
    bright = np.clip((image - low) / max(1.0, high - low), 0, 1) ** 0.8 * 255
    colours = bright.astype(np.uint8)
    large: UInt8[np.ndarray, "row column 3"] = np.kron(
        colours, np.ones((ZOOM, ZOOM, 1), dtype=np.uint8)
    )
    wide = np.kron(ids, np.ones((ZOOM, ZOOM), dtype=ids.dtype))
    large[edges(wide)] = LINE
    return large


def edges(ids: Integer[np.ndarray, "row column"]) -> Bool[np.ndarray, "row column"]:
    """Pixels of instances with another value within two rows or columns."""
    above, below = ndimage.maximum_filter(ids, 5), ndimage.minimum_filter(ids, 5)
    found: Bool[np.ndarray, "row column"] = (ids != 0) & (above != below)
    return found
