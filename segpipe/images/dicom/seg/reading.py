"""Read DICOM-SEG objects as label maps on the grid of their image."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int, Shaped
from pydicom import Dataset

from segpipe.images.dicom.file import (
    frame_value,
    items_of,
    missing_tag,
    number_of,
    numbers_of,
    pixels_of,
    quiet,
    read_dataset,
    value_of,
    word_of,
)
from segpipe.images.dicom.planes import ROUNDED_MM, Plane, grid_of, planes_of
from segpipe.images.dicom.series import DicomImage
from segpipe.images.dicom.stack import slab_of
from segpipe.images.grid import Grid
from segpipe.images.volume import LabelMap
from segpipe.project.errors import DataError

SOP_CLASSES = (  # Segmentation Storage, and Label Map Segmentation Storage
    "1.2.840.10008.5.1.4.1.1.66.4",
    "1.2.840.10008.5.1.4.1.1.66.7",
)
OFF_GRID_VOXELS = 0.05  # rounding of decimal strings is far smaller
FARTHEST_VOXELS = 0.4  # where positions have one decimal; the nearest voxel is still it
THRESHOLD = 0.5  # of a probability or occupancy


@dataclass(frozen=True, eq=False)
class SegLabels:
    """Structures as one label map.

    Attributes:
        label: The value of the structure at each voxel; 0 for none.
        structures: The value of each structure, by its name.
        left_out: Names of the structures that were not asked for.
    """

    label: LabelMap
    structures: dict[str, int]
    left_out: tuple[str, ...] = ()


@quiet()
def read_seg(
    path: Path,
    source: DicomImage | None = None,
    *,
    grid: Grid | None = None,
    only: frozenset[str] = frozenset(),
) -> SegLabels:
    """Read a segmentation of any type: BINARY, FRACTIONAL (from 0.5 on) or LABELMAP.

    Segments of one name are numbered, as in "tumour" and "tumour (2)"; where the name
    is asked for and the numbered one is not, they are joined to one structure.

    Args:
        path: The DICOM-SEG file.
        source: The image that was segmented: the labels lie on its grid. Without it,
            they lie on the smallest grid that holds the stored frames.
        grid: The grid to lie on, where the image is no DICOM.
        only: Names of the structures to read; all if empty.

    Raises:
        DataError: If the file is not a segmentation or damaged, if two segments
            overlap, or if they do not lie on the grid of the source.
    """
    dataset = read_dataset(path)
    if value_of(path, dataset, "SOPClassUID") not in SOP_CLASSES:
        modality = word_of(path, dataset, "Modality")
        raise DataError(
            f"{path}: expected a DICOM segmentation, found {modality}; name the SEG "
            "file"
        )
    names = _names(path, dataset, only)
    values: dict[str, int] = {}
    for number, name in names.items():
        if not only or name in only:
            values.setdefault(name, number)
    planes = planes_of(path, dataset)
    if source is not None:
        check_reference(path, planes[0].reference, source)
        grid = source.image.grid
    grid = grid or slab_of(planes)
    array = np.zeros(grid.shape, np.int16 if max(names) < 2**15 else np.int32)
    for plane, number, mask in _masks(path, dataset, planes, names):
        if names[number] in values:
            value = values[names[number]]
            _label(path, array, _places(plane, mask, grid), value, names)
    left_out = dict.fromkeys(name for name in names.values() if name not in values)
    return SegLabels(LabelMap(array, grid), values, tuple(left_out))


def check_reference(path: Path, reference: str, source: DicomImage) -> None:
    """Check that coordinates are in the frame of reference of the image.

    Raises:
        DataError: If both name a frame of reference, and these differ.
    """
    image = word_of(path, source.slices[0], "FrameOfReferenceUID")
    if reference and image and reference != image:
        raise DataError(
            f"{path}: expected the frame of reference {image} of the image, found "
            f"{reference}; give the image that the structures were drawn on"
        )


def _names(path: Path, dataset: Dataset, only: frozenset[str]) -> dict[int, str]:
    """The name of each segment by its number; a repeated name gets the number added.

    It does not where only the plain name is asked for.
    """
    names: dict[int, str] = {}
    for item in items_of(path, dataset, "SegmentSequence"):
        number = int(number_of(path, item, "SegmentNumber"))
        if number == 0:  # a LABELMAP may describe its background
            continue
        name = str(value_of(path, item, "SegmentLabel") or number)[:64]
        numbered = f"{name} ({number})"
        joined = name in only and numbered not in only
        names[number] = numbered if name in names.values() and not joined else name
    if not names:
        raise missing_tag(path, "SegmentSequence")
    return names


def _masks(
    path: Path, dataset: Dataset, planes: tuple[Plane, ...], names: dict[int, str]
) -> Iterator[tuple[Plane, int, Bool[np.ndarray, "row column"]]]:
    """Yield plane, segment and mask of each segment of each frame."""
    frames = pixels_of(path, dataset)
    kind = word_of(path, dataset, "SegmentationType")
    if kind not in ("BINARY", "FRACTIONAL", "LABELMAP"):
        raise DataError(
            f"{path}: expected a SegmentationType of BINARY, FRACTIONAL or LABELMAP, "
            f"found {kind}; export the segmentation again"
        )
    if len(frames) != len(planes):
        raise DataError(
            f"{path}: expected {len(planes)} frames, found {len(frames)}; fetch the "
            "file again from its source"
        )
    least = 1.0
    if kind == "FRACTIONAL":
        largest = number_of(path, dataset, "MaximumFractionalValue")
        least = max(largest * THRESHOLD, 1e-9)  # 0 is never inside
    for frame, plane in enumerate(planes):
        stored = frames[frame]
        if kind == "LABELMAP":
            numbers = np.unique(stored)
            masks = [(int(n), stored == n) for n in numbers.tolist() if n != 0]
        else:
            value = frame_value(path, dataset, frame, "ReferencedSegmentNumber")
            found = numbers_of(path, value, "ReferencedSegmentNumber", 1)
            masks = [(int(found[0]), stored >= least)]
        for number, mask in masks:
            if number not in names:
                raise DataError(
                    f"{path}: expected segments {sorted(names)}, found {number} in a "
                    "frame; export the segmentation again"
                )
            yield plane, number, mask


def _places(
    plane: Plane, mask: Bool[np.ndarray, "row column"], grid: Grid
) -> Int[np.ndarray, "n 3"]:
    """The voxels of the grid that lie in the mask of a frame."""
    if not mask.any():
        return np.zeros((0, 3), np.intp)
    flat = grid_of(plane, 1, plane.normal)
    steps = np.array([(0.0, 0.0, 0.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)])
    start, right, down = grid.indices_of(flat.points_of(steps))
    moves = np.abs(np.array([right - start, down - start]))
    straight = np.isclose(moves.max(axis=1), 1, atol=1e-3).all()
    rows, columns = np.nonzero(mask)
    pixels = np.stack([columns, rows, np.zeros_like(rows)], axis=1)
    exact = grid.indices_of(flat.points_of(pixels.astype(np.float64)))
    places: Int[np.ndarray, "n 3"] = np.rint(exact).astype(np.intp)
    away = float(np.abs(exact - places).max())
    inside = ((places >= 0) & (places < np.array(grid.shape))).all()
    largest = OFF_GRID_VOXELS
    if plane.rounded:
        largest = max(largest, ROUNDED_MM * math.sqrt(3) / min(grid.spacing))
    if not straight or away > min(largest, FARTHEST_VOXELS) or not inside:
        found = (
            "pixels of another size or direction"
            if not straight
            else "pixels outside of it"
            if not inside
            else f"pixels {away:.2f} voxels beside its own"
        )
        raise DataError(
            f"{plane.path}: expected segments on the grid of the image, found {found}; "
            "give the image that was segmented, or resample the segmentation"
        )
    return places


def _label(
    path: Path,
    array: Shaped[np.ndarray, "i j k"],
    places: Int[np.ndarray, "n 3"],
    number: int,
    names: dict[int, str],
) -> None:
    i, j, k = places.T
    there = array[i, j, k]
    others = there[(there != 0) & (there != number)]
    if len(others):
        raise overlap(path, names[int(others[0])], names[number], len(others))
    array[i, j, k] = number


def overlap(path: Path, one: str, other: str, count: int) -> DataError:
    """The error for two structures that overlap."""
    return DataError(
        f"{path}: expected one structure a voxel, found {one!r} and {other!r} "
        f"overlapping in {count} voxels; import one of them by --structure "
        "NAME=VALUE, or export them without overlap"
    )
