"""Preview: three planes of an image with what was found, at bounded memory."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from segpipe.grid import Grid
from segpipe.overlays import PLANES, aspect_of, cut_plane, numbered, show_plane
from segpipe.plots import View
from segpipe.volume import Source

SAMPLES = 10_000  # voxels of structures, about, whose intensities are looked at
Parts = Callable[[], Iterable[np.ndarray]]


@dataclass(frozen=True, eq=False)
class Preview:
    """What one sees of a case at a glance.

    Attributes:
        views: One of an image; axial, coronal, sagittal of a volume.
        medians: Intensity of each channel over voxels of structures; NaN without any.
    """

    views: list[View]
    medians: list[float]


class Profile:
    """Where structures lie: their voxels in each plane along i, j, k."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self._areas = [np.zeros(size, dtype=np.int64) for size in shape]
        self._slices = 0

    def add(self, labels: np.ndarray) -> None:
        """Take in the next slices along k (i j n)."""
        mask = labels != 0
        count = mask.shape[2]
        plane = mask.sum(axis=2)
        self._areas[0] += plane.sum(axis=1)
        self._areas[1] += plane.sum(axis=0)
        self._areas[2][self._slices : self._slices + count] = mask.sum(axis=(0, 1))
        self._slices += count

    @property
    def voxels(self) -> int:
        """Of all structures."""
        return int(self._areas[0].sum())

    @property
    def fullest(self) -> tuple[int, int, int]:
        """The plane along each axis that shows most; the middle one of nothing."""
        i, j, k = (
            int(areas.argmax()) if areas.any() else len(areas) // 2
            for areas in self._areas
        )
        return i, j, k


def build_preview(
    source: Source, labels: Parts, profile: Profile, values: tuple[int, ...]
) -> Preview:
    """Read image and labels once more and keep three planes.

    Args:
        source: The image.
        labels: Starts anew and gives all label slices along k, in the image's axes.
        profile: Of the same labels.
        values: The data set's value of each class.
    """
    place = profile.fullest
    kept: list[list[tuple[np.ndarray, np.ndarray]]] = [[], [], []]
    samples, step, start = [], max(1, profile.voxels // SAMPLES), 0
    for image, drawn in _aligned(source.read(), labels()):
        for axis in (0, 1):
            kept[axis].append(
                (image.take([place[axis]], 1 + axis), drawn.take([place[axis]], axis))
            )
        if start <= place[2] < start + drawn.shape[2]:
            kept[2].append(
                (
                    image.take([place[2] - start], 3),
                    drawn.take([place[2] - start], 2),
                )
            )
        samples.append(image[:, drawn != 0][:, ::step])
        start += drawn.shape[2]
    planes = [
        (np.concatenate(images, -1), numbered(np.concatenate(drawn, -1), values))
        for images, drawn in (zip(*parts, strict=True) for parts in kept)
    ]
    found = np.concatenate(samples, axis=1)
    medians = [float(np.median(row)) if row.size else float("nan") for row in found]
    return Preview(_views(source.grid, planes), medians)


def _views(grid: Grid, planes: list[tuple[np.ndarray, np.ndarray]]) -> list[View]:
    """From a plane along each stored axis to what is shown, in RAS+ order."""
    if grid.shape[2] == 1:
        pair = [np.swapaxes(array[..., 0], -1, -2) for array in planes[2]]
        return [show_plane("", pair, [], aspect=aspect_of(grid, 0, 1))]
    turn = grid.to_canonical
    canonical, views = grid.reoriented(turn), []
    for name, axis in PLANES.items():
        stored = planes[turn.permutation[axis]]
        pair = [cut_plane(turn.apply(array), axis, 0) for array in stored]
        across, down = (n for n in range(3) if n != axis)
        aspect = aspect_of(canonical, across, down)
        views.append(show_plane(name, pair, [], aspect=aspect))
    return views


def _aligned(
    images: Iterable[np.ndarray], labels: Iterable[np.ndarray]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Slices of both, cut where either is cut."""
    ones, others = iter(images), iter(labels)
    image, drawn = next(ones), next(others)
    while True:
        count = min(image.shape[3], drawn.shape[2])
        yield image[..., :count], drawn[..., :count]
        image, drawn = image[..., count:], drawn[..., count:]
        if not image.shape[3]:
            following = next(ones, None)
            if following is None:
                return
            image = following
        if not drawn.shape[2]:
            drawn = next(others)
