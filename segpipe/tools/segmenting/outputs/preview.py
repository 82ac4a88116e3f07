"""Preview: the three planes of a segmented study that show most.

They are cut in a second reading, so that a long volume is never held whole.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from segpipe.evaluation.report.pictures.planes import (
    PLANES,
    View,
    choose_window,
    radiological,
    show_plane,
)
from segpipe.evaluation.report.pictures.views import shown_channels
from segpipe.images.grid import Grid
from segpipe.images.values import Legend
from segpipe.images.volume import ImageStream

Parts = Callable[[], Iterable[np.ndarray]]
SAMPLES = 10_000  # voxels of structures, about, whose intensities are looked at


@dataclass(frozen=True, eq=False)
class Preview:
    """A case at a glance.

    Attributes:
        views: The image itself; axial, coronal and sagittal planes of a volume.
        medians: Median of each channel over the voxels of structures; NaN without any.
    """

    views: list[View]
    medians: list[float]


class Profile:
    """Voxels of structures in each plane along i, j, k."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self._areas = [np.zeros(size, dtype=np.int64) for size in shape]
        self._slices = 0

    def add(self, labels: np.ndarray) -> None:
        """Add the next slices along k (i j n)."""
        mask = labels != 0
        count = mask.shape[2]
        plane = mask.sum(axis=2)
        self._areas[0] += plane.sum(axis=1)
        self._areas[1] += plane.sum(axis=0)
        self._areas[2][self._slices : self._slices + count] = mask.sum(axis=(0, 1))
        self._slices += count

    @property
    def voxels(self) -> int:
        """Voxels of all structures."""
        return int(self._areas[0].sum())

    @property
    def fullest(self) -> tuple[int, int, int]:
        """The plane along each axis that shows most; without any, the middle one."""
        i, j, k = (
            int(areas.argmax()) if areas.any() else len(areas) // 2
            for areas in self._areas
        )
        return i, j, k


def build_preview(
    source: ImageStream,
    labels: Parts,
    profile: Profile,
    legend: Legend,
    *,
    name: str,
) -> Preview:
    """Read image and labels once more and keep three planes.

    Args:
        source: The image.
        labels: Gives all label slices along k from the beginning, in the image's axes.
        profile: Profile of the same labels.
        legend: What the values of the labels stand for.
        name: Name of the segmenter, under which the labels are shown.
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
        (  # a channel that the case lacks, which is NaN, is shown as zeros
            np.nan_to_num(np.concatenate(images, -1)),
            legend.topmost(np.concatenate(drawn, -1)),
        )
        for images, drawn in (zip(*parts, strict=True) for parts in kept)
    ]
    found = np.concatenate(samples, axis=1)
    medians = [float(np.median(row)) if row.size else float("nan") for row in found]
    return Preview(_views(source.grid, planes, place, name), medians)


def _views(
    grid: Grid,
    planes: list[tuple[np.ndarray, np.ndarray]],
    place: tuple[int, int, int],
    name: str,
) -> list[View]:
    """Turn a plane along each stored axis into views, all in one window."""
    shown = [shown_channels(len(image), ())[0] for image, _ in planes]
    if grid.shape[2] == 1:
        axes = {"": 2}
    else:
        turn = radiological(grid)
        axes = {plane: turn.permutation[axis] for plane, axis in PLANES.items()}
    window = choose_window([planes[axis][0][: shown[axis]] for axis in axes.values()])
    return [
        show_plane(
            plane,
            planes[axis][0][: shown[axis]],
            {name: planes[axis][1]},
            grid=grid,
            window=window,
            chosen=place[axis],
        )
        for plane, axis in axes.items()
    ]


def _aligned(
    images: Iterable[np.ndarray], labels: Iterable[np.ndarray]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Slices of both at the same places, cut where either is cut."""
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
