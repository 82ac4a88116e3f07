"""Planes: slices of a case as readers of images know them, with the patient's sides.

A volume is shown in radiological convention: as if the reader stood at the patient's
feet and looked up, or in front of the patient. So the patient's right is on the left.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Integer, UInt8

from segpipe.images.grid import Grid, Orientation
from segpipe.project.documents import Unit

# Plane to the axis across it, after the axes were turned towards L, P and I.
PLANES = {"axial": 2, "coronal": 1, "sagittal": 0}
# The sides of the patient at the left, right, top and bottom edge of each plane.
EDGES = {"axial": "RLAP", "coronal": "RLSI", "sagittal": "APSI"}
AS_STORED = Orientation((0, 1, 2), (False, False, False))
REFERENCE = "reference"  # the column of what people drew
OBLIQUE_DEG = 5.0  # a larger angle between a voxel axis and the body's is worth a note
ML_PER_MM3 = 0.001


@dataclass(frozen=True, eq=False)
class View:
    """Slices of a case in one plane: rows run downwards, columns to the right.

    Attributes:
        name: Name of the plane, such as axial; empty for a 2-D image.
        image: Intensities; several channels, if shown, are red, green and blue.
        window: Intensities that are shown as black and as white.
        reference: Number of the region of each pixel; 0 is no region. None if nobody
            drew any.
        predictions: The same for the prediction of each model, by its name.
        pixel: Width and height of a pixel, in the unit.
        unit: Unit of lengths.
        chosen: The slice that is shown first.
        places: Number of each slice in the file, along the axis.
        count: Number of slices of the whole volume.
        axis: Name of the axis across the plane in the file: i, j or k.
        edges: The patient's sides at the left, right, top and bottom edge; empty for a
            2-D image.
    """

    name: str
    image: Float[np.ndarray, "slice row column *colour"]
    window: tuple[float, float]
    reference: Integer[np.ndarray, "slice row column"] | None
    predictions: dict[str, Integer[np.ndarray, "slice row column"]]
    pixel: tuple[float, float]
    unit: Unit
    chosen: int = 0
    places: Sequence[int] = (0,)
    count: int = 1
    axis: str = "k"
    edges: str = ""

    @property
    def aspect(self) -> float:
        """Height of a pixel over its width."""
        return self.pixel[1] / self.pixel[0]

    @property
    def columns(self) -> list[str]:
        """What stands side by side: the image, the reference, and each model."""
        drawn = [] if self.reference is None else [REFERENCE]
        return ["image", *drawn, *self.predictions]

    def regions(self, column: str) -> Integer[np.ndarray, "slice row column"] | None:
        """The regions that a column shows in colours; None for the image."""
        return self.reference if column == REFERENCE else self.predictions.get(column)

    def grey(self, number: int) -> UInt8[np.ndarray, "row column *colour"]:
        """A slice of the image, in the window, from black (0) to white (255)."""
        return in_window(self.image[number], self.window)

    def words(self, number: int) -> str:
        """Which slice it is, in words; empty for a 2-D image."""
        if not self.name:
            return ""
        place = self.places[number]
        return f"slice {place + 1} of {self.count} ({self.axis} = {place})"


@dataclass(frozen=True)
class Structure:
    """A line of the legend.

    Attributes:
        name: Name of the structure.
        number: Number of its region; None if its instances have numbers of their own.
        sizes: Volume, or area of a 2-D image, in the reference and in each prediction.
        instances: Number of instances in the same; empty without instances.
    """

    name: str
    number: int | None
    sizes: dict[str, float]
    instances: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Exhibit:
    """A case as it is shown.

    Attributes:
        views: Its planes: one of an image, three of a volume.
        structures: Lines of the legend.
        unit: Unit of the sizes: ml or voxels; mm² or px² of a 2-D image.
        absent: Models whose prediction is missing.
        notes: Sentences on what the pictures show and do not show.
    """

    views: list[View]
    structures: list[Structure]
    unit: str
    absent: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()

    @property
    def numbered(self) -> bool:
        """Whether numbers tell the structures apart, as colours alone must not."""
        return len(self.structures) > 1 and all(
            one.number is not None for one in self.structures
        )

    def found(self, model: str) -> str:
        """What a model found, in words."""
        if model in self.absent:
            return "no prediction"
        size = sum(one.sizes[model] for one in self.structures)
        return f"found {in_words(size)} {self.unit}" if size else "nothing found"


def in_words(size: float) -> str:
    """A size with three digits, or whole if it is larger."""
    return f"{size:.0f}" if abs(size) >= 100 or size == 0 else f"{size:.3g}"


def radiological(grid: Grid) -> Orientation:
    """The change of axes after which i, j, k are closest to L, P, I.

    Columns then run to the patient's left or back, and rows to the back or the feet.
    """
    turn = grid.to_canonical
    right, front, head = turn.flips
    return Orientation(turn.permutation, (not right, not front, not head))


def show_plane(
    plane: str,
    image: Float[np.ndarray, "channel i j k"],
    regions: dict[str, Integer[np.ndarray, "i j k"]],
    *,
    grid: Grid,
    window: tuple[float, float],
    chosen: int,
) -> View:
    """Turn a case, or one slice of it, into the view of a plane.

    Args:
        plane: Name of the plane; empty for a 2-D image, which is shown as it is stored.
        image: One channel, or red, green and blue: all voxels, or the chosen slice.
        regions: Regions of ``reference`` and of each model on the same voxels.
        grid: Grid of the whole image, in the axes of the file.
        window: Intensities that are shown as black and as white.
        chosen: The slice that is shown first, along the axis of the file.
    """
    turn = radiological(grid) if plane else AS_STORED
    axis = PLANES.get(plane, 2)
    stored = turn.permutation[axis]
    count = grid.shape[stored]
    whole = image.shape[1 + stored] == count
    places = range(count) if whole else range(chosen, chosen + 1)
    if turn.flips[axis]:
        places = places[::-1]
    across, down = (turn.permutation[n] for n in range(3) if n != axis)
    cut = {name: _cut(turn.apply(array), axis) for name, array in regions.items()}
    colours = np.moveaxis(_cut(turn.apply(image), axis), 0, -1)
    return View(
        name=plane,
        image=colours if len(image) == 3 else colours[..., 0],
        window=window,
        reference=cut.pop(REFERENCE, None),
        predictions=cut,
        pixel=(grid.spacing[across], grid.spacing[down]),
        unit=grid.unit,
        chosen=places.index(chosen),
        places=places,
        count=count,
        axis="ijk"[stored],
        edges=EDGES.get(plane, ""),
    )


def _cut(volume: np.ndarray, axis: int) -> np.ndarray:
    """All slices across an axis, as a view: ... i j k to ... slice row column."""
    lead = volume.ndim - 3
    return np.swapaxes(np.moveaxis(volume, lead + axis, lead), -1, -2)


def in_window(
    image: np.ndarray, window: tuple[float, float]
) -> UInt8[np.ndarray, "row column *colour"]:
    """Intensities from black (0) to white (255)."""
    low, high = window
    bright = (image - low) / max(high - low, 1e-6)
    return np.asarray((np.clip(bright, 0, 1) * 255).round().astype(np.uint8))


def choose_window(slices: Sequence[np.ndarray]) -> tuple[float, float]:
    """The 0.5th and 99.5th percentile of the intensities of some slices."""
    low, high = np.percentile(
        np.concatenate([one.ravel() for one in slices]), (0.5, 99.5)
    )
    return float(low), float(high)


def scale_bar(width: float) -> float:
    """Length of a bar that is at most three tenths of a width: 1, 2 or 5 times 10^n."""
    longest = 0.3 * width
    power = 10.0 ** math.floor(math.log10(longest))
    return max(step * power for step in (1, 2, 5) if step * power <= longest)


def tilt_deg(grid: Grid) -> float:
    """Largest angle between a voxel axis and the closest axis of the body."""
    turn = grid.to_canonical
    directions = np.abs(grid.affine[:3, :3]) / np.array(grid.spacing)
    cosines = [directions[n, axis] for n, axis in enumerate(turn.permutation)]
    return float(np.degrees(np.arccos(np.clip(min(cosines), -1, 1))))
