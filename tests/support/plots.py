"""Curves, scores and cases to plot, and the pixels of a plot."""

import io

import numpy as np
from PIL import Image

from segpipe.evaluation.report.pictures.planes import (
    EDGES,
    REFERENCE,
    Exhibit,
    Structure,
    View,
)
from segpipe.evaluation.report.plots import Curve
from tests.support.phantoms import ball

CURVE = Curve(
    "vnet",
    0,
    np.array([1.0, 2.0, 3.0]),
    np.array([1.0, 0.5, 0.3]),
    np.array([np.nan, 0.6, 0.7]),
    {
        "Dice, liver": np.array([np.nan, 0.8, 0.9]),
        "Dice, spleen": np.array([np.nan, 0.4, 0.5]),
    },
)
SCORES = {"liver": {"a": np.array([0.5, 0.9, np.nan]), "b": np.array([0.7, 0.8, 0.1])}}


def make_view(reference: np.ndarray, prediction: np.ndarray) -> View:
    """One axial slice, of a model a; its pixels are twice as high as wide."""
    image = np.linspace(0, 1, reference.size).reshape(1, *reference.shape)
    return View(
        "axial",
        image,
        (0.0, 1.0),
        reference[None],
        {"a": prediction[None]},
        (1.0, 2.0),
        "mm",
        edges=EDGES["axial"],
    )


def make_exhibit(*views: View) -> Exhibit:
    """A case of one structure, with sizes in pixels."""
    first = views[0]
    shown = {REFERENCE: first.reference, **first.predictions}
    sizes = {name: float((array > 0).sum()) for name, array in shown.items()}
    return Exhibit(list(views), [Structure("liver", 1, sizes)], "ml")


def make_volume(count: int = 1, *, found: bool = True) -> Exhibit:
    """A case of two planes with so many structures; a model misses them or is shifted.

    The first voxel of each slice, at the upper left, is bright.
    """
    shape = (5, 24, 30)
    reference = np.zeros(shape, dtype=np.int32)
    for number in range(count):
        row, column = divmod(number, 8)
        size = 2 if count > 1 else 16
        top, left = 1 + row * 4, 2 + column * 3
        reference[:, top : top + size, left : left + size] = number + 1
    predicted = np.roll(reference, 1, axis=2) if found else np.zeros_like(reference)
    image = np.broadcast_to(np.linspace(0, 0.3, 30), shape).copy()
    image[:, :3, :3] = 1
    views = [
        View(
            plane,
            image,
            (0.0, 1.0),
            reference,
            {"a": predicted},
            (1.0, 1.5),
            "mm",
            chosen=2,
            places=range(4, 9),
            count=12,
            edges=EDGES[plane],
        )
        for plane in ("axial", "coronal")
    ]
    structures = [
        Structure(
            f"structure {n}",
            n,
            {REFERENCE: 1.5, "a": 1.25 if found else 0.0},
        )
        for n in range(1, count + 1)
    ]
    return Exhibit(views, structures, "ml", notes=("A note.",))


def make_photo(*, instances: bool) -> Exhibit:
    """A colour photo, 2-D, with a cell that touches another one and a vessel."""
    ids = np.where(ball(9, shape=(60, 90, 1), center=(25, 30, 0))[..., 0], 8, 0)
    ids[ball(9, shape=(60, 90, 1), center=(25, 47, 0))[..., 0] & (ids == 0)] = 16
    regions = ids if instances else np.where(ids > 0, 1, 0)
    image = np.random.default_rng(0).uniform(0, 255, (1, 60, 90, 3))
    view = View(
        "",
        image,
        (0.0, 255.0),
        regions[None],
        {"a": np.where(regions > 0, regions.max(), 0)[None]},
        (1.0, 1.0),
        "px",
    )
    sizes = dict.fromkeys([REFERENCE, "a"], float((ids > 0).sum()))
    counts = {REFERENCE: 2, "a": 1} if instances else {}
    cell = Structure("cell", None if instances else 1, sizes, counts)
    return Exhibit([view], [cell], "px²")


def pixels(png: bytes) -> np.ndarray:
    """The colours of a PNG."""
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
