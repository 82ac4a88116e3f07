"""Where DICOM slices lie, and whether they are the one straight stack of an image."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64
from pydicom import Dataset

from segpipe.errors import DataError
from segpipe.grid import Grid
from segpipe.io.dicom_file import frame_value, frames_of, missing, numbers_of, value_of

GAP_TOLERANCE = 0.01  # of the gap between slices,
GAP_TOLERANCE_MM = 0.01  # but never less than scanners round positions to
LARGEST_TILT_DEGREES = 0.5  # cosine 0.009: below what the NIfTI door takes for shear
DIRECTION_TOLERANCE = 1e-4  # per direction cosine: 0.006 degrees
RIGHT_ANGLE_TOLERANCE = 0.01  # cosine
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])

Point = tuple[float, float, float]


@dataclass(frozen=True)
class Plane:
    """Where one slice lies, in DICOM's own world: LPS+ in mm.

    Attributes:
        path: The file of the slice.
        frame: Its number in the file, from 0; None in a single-frame file.
        shape: Number of columns (i) and of rows (j).
        position: Centre of the first pixel.
        along_i: Unit vector from column to column.
        along_j: Unit vector from row to row.
        spacing: Distance of columns and of rows.
        thickness: SliceThickness, where told.
        gap: SpacingBetweenSlices, where told; not trusted where positions tell.
        reference: FrameOfReferenceUID, or empty.
    """

    path: Path
    frame: int | None
    shape: tuple[int, int]
    position: Point
    along_i: Point
    along_j: Point
    spacing: tuple[float, float]
    thickness: float | None
    gap: float | None
    reference: str

    @property
    def normal(self) -> Float64[np.ndarray, "3"]:
        """Unit vector at right angles to the slice."""
        normal = np.cross(self.along_i, self.along_j)
        return np.asarray(normal / np.linalg.norm(normal))

    @property
    def height(self) -> float:
        """Where the slice lies along its normal, in mm."""
        return float(self.normal @ np.array(self.position))


@dataclass(frozen=True, eq=False)
class Stack:
    """Slices that make up one volume.

    Attributes:
        planes: The slices in the order of k, along their normal.
        grid: Where their voxels lie; sheared by the tilt, if there is one.
        tilt_degrees: Angle between the way from slice to slice and their normal.
    """

    planes: tuple[Plane, ...]
    grid: Grid
    tilt_degrees: float


def planes_of(path: Path, dataset: Dataset) -> tuple[Plane, ...]:
    """Where the slices of one object lie, in the order of its frames.

    Raises:
        DataError: If a tag of the geometry is missing or strange.
    """
    size = []
    for keyword in ("Columns", "Rows"):
        value = value_of(path, dataset, keyword)
        if value is None:
            raise missing(path, keyword)
        size.append(int(numbers_of(path, value, keyword, 1)[0]))
    reference = str(value_of(path, dataset, "FrameOfReferenceUID") or "")
    return tuple(
        _plane(path, dataset, frame, (size[0], size[1]), reference)
        for frame in frames_of(path, dataset)
    )


def _plane(
    path: Path,
    dataset: Dataset,
    frame: int | None,
    shape: tuple[int, int],
    reference: str,
) -> Plane:
    def numbers(keyword: str, count: int) -> tuple[float, ...]:
        value = frame_value(path, dataset, frame, keyword)
        if value is None:
            raise missing(path, keyword)
        return numbers_of(path, value, keyword, count)

    def length(keyword: str) -> float | None:
        value = frame_value(path, dataset, frame, keyword)
        if value is None:
            return None
        return abs(numbers_of(path, value, keyword, 1)[0]) or None

    x, y, z = numbers("ImagePositionPatient", 3)
    along_i, along_j = _directions(path, numbers("ImageOrientationPatient", 6))
    rows, columns = numbers("PixelSpacing", 2)
    if min(rows, columns) <= 0 or min(shape) < 1:
        raise DataError(
            f"{path}: expected pixels of a size above 0 mm, found {shape} pixels of "
            f"{(columns, rows)} mm; set the true PixelSpacing"
        )
    return Plane(
        path,
        frame,
        shape,
        (x, y, z),
        along_i,
        along_j,
        (columns, rows),
        length("SliceThickness"),
        length("SpacingBetweenSlices"),
        reference,
    )


def _directions(path: Path, cosines: tuple[float, ...]) -> tuple[Point, Point]:
    both = np.array(cosines).reshape(2, 3)
    lengths = np.linalg.norm(both, axis=1)
    if (
        np.abs(lengths - 1).max() > RIGHT_ANGLE_TOLERANCE
        or abs(both[0] @ both[1]) > RIGHT_ANGLE_TOLERANCE
    ):
        raise DataError(
            f"{path}: expected two unit vectors at right angles in "
            f"ImageOrientationPatient, found {list(cosines)}; export the file again"
        )
    (a, b, c), (d, e, f) = (both / lengths[:, None]).tolist()
    return (a, b, c), (d, e, f)


def stack_of(planes: Sequence[Plane]) -> Stack:
    """The one volume that the slices make up, tilted or not.

    Raises:
        DataError: If they are of several volumes, or some are missing, doubled or
            unevenly spaced.
    """
    _check_alike(planes)
    ordered = sorted(planes, key=lambda plane: plane.height)
    first, last = ordered[0], ordered[-1]
    if len(ordered) == 1:
        return Stack((first,), _grid(first, 1, first.normal * _told_gap(first)), 0.0)
    _check_gaps(ordered)
    way = np.array(last.position) - np.array(first.position)
    step = way / (len(ordered) - 1)
    _check_line(ordered, step)
    cosine = float(np.clip(step @ first.normal / np.linalg.norm(step), -1, 1))
    grid = _grid(first, len(ordered), step)
    return Stack(tuple(ordered), grid, math.degrees(math.acos(cosine)))


def slab_of(planes: Sequence[Plane]) -> Grid:
    """The smallest grid that holds the planes; places between them may be empty.

    Raises:
        DataError: If the planes are of several volumes or lie on no regular grid.
    """
    _check_alike(planes)
    ordered = sorted(planes, key=lambda plane: plane.height)
    first = ordered[0]
    heights = np.array([plane.height - first.height for plane in ordered])
    steps = np.diff(heights)
    steps = steps[steps > GAP_TOLERANCE_MM]
    if not len(steps):
        return _grid(first, 1, first.normal * _told_gap(first))
    for gap in (first.gap, float(steps.min())):
        if gap is not None and _multiples(steps, gap):
            count = round(float(heights[-1]) / gap)
            way = np.array(ordered[-1].position) - np.array(first.position)
            return _grid(first, count + 1, way / count)
    raise DataError(
        f"{first.path}: expected frames at multiples of one gap, found gaps of "
        f"{float(steps.min()):.4g} to {float(steps.max()):.4g} mm; give the image "
        "that the segmentation was drawn on"
    )


def _multiples(steps: np.ndarray, gap: float) -> bool:
    counts = np.rint(steps / gap)
    tolerance = max(GAP_TOLERANCE * gap, GAP_TOLERANCE_MM)
    return bool((counts >= 1).all() and (abs(steps - counts * gap) <= tolerance).all())


def plane_grid(plane: Plane) -> Grid:
    """Where the pixels of one slice lie: a grid of one k."""
    return _grid(plane, 1, plane.normal)


def _grid(first: Plane, count: int, step: np.ndarray) -> Grid:
    affine = np.eye(4)
    affine[:3, 0] = np.array(first.along_i) * first.spacing[0]
    affine[:3, 1] = np.array(first.along_j) * first.spacing[1]
    affine[:3, 2] = step
    affine[:3, 3] = first.position
    affine[:3] = LPS_TO_RAS @ affine[:3]
    return Grid((*first.shape, count), affine, "mm")


def _told_gap(plane: Plane) -> float:
    gap = plane.gap or plane.thickness
    if gap is None:
        raise missing(plane.path, "SpacingBetweenSlices or SliceThickness")
    return gap


def _check_alike(planes: Sequence[Plane]) -> None:
    first = planes[0]
    for plane in planes[1:]:
        turned = np.subtract(
            [*first.along_i, *first.along_j], [*plane.along_i, *plane.along_j]
        )
        unlike = {
            "shape": (first.shape != plane.shape, first.shape, plane.shape),
            "spacing": (
                not np.allclose(first.spacing, plane.spacing, rtol=1e-3, atol=0),
                first.spacing,
                plane.spacing,
            ),
            "orientation": (
                bool(np.abs(turned).max() > DIRECTION_TOLERANCE),
                (*first.along_i, *first.along_j),
                (*plane.along_i, *plane.along_j),
            ),
            "frame of reference": (
                first.reference != plane.reference,
                first.reference,
                plane.reference,
            ),
        }
        for what, (differs, one, other) in unlike.items():
            if differs:
                raise DataError(
                    f"{plane.path}: expected the {what} {one} of {first.path.name}, "
                    f"found {other} (mixed series); keep one volume a series"
                )


def _check_gaps(ordered: Sequence[Plane]) -> None:
    heights = np.array([plane.height for plane in ordered])
    gaps = np.diff(heights)
    common = float(np.sort(gaps)[(len(gaps) - 1) // 2])
    tolerance = max(GAP_TOLERANCE * common, GAP_TOLERANCE_MM)
    for place, gap in enumerate(gaps.tolist()):
        if gap < GAP_TOLERANCE_MM:
            raise _doubled(ordered[place], ordered[place + 1])
    for place, gap in enumerate(gaps.tolist()):
        if abs(gap - common) <= tolerance:
            continue
        below, above = ordered[place], ordered[place + 1]
        between = (
            f"between {heights[place]:.2f} mm ({below.path.name}) and "
            f"{heights[place + 1]:.2f} mm ({above.path.name}) along the normal"
        )
        lacking = round(gap / common) - 1
        if lacking > 0 and abs(gap - (lacking + 1) * common) <= tolerance:
            raise DataError(
                f"{above.path}: expected slices every {common:.4g} mm, found "
                f"{lacking} missing {between}; fetch the missing slices"
            )
        raise DataError(
            f"{above.path}: expected slices every {common:.4g} mm, found an uneven gap "
            f"of {gap:.4g} mm {between}; export a series with even gaps, or resample it"
        )


def _doubled(one: Plane, other: Plane) -> DataError:
    return DataError(
        f"{other.path}: expected one slice a position, found a duplicate of "
        f"{one.path.name} at {one.height:.2f} mm along the normal; remove copies, and "
        "keep each echo or time point as a series of its own"
    )


def _check_line(ordered: Sequence[Plane], step: np.ndarray) -> None:
    """Even a tilted stack has its first pixels on one line."""
    start = np.array(ordered[0].position)
    tolerance = max(GAP_TOLERANCE * float(np.linalg.norm(step)), GAP_TOLERANCE_MM)
    for place, plane in enumerate(ordered):
        away = np.array(plane.position) - start - place * step
        away -= plane.normal * (plane.normal @ away)  # the gaps are checked already
        if float(np.linalg.norm(away)) > tolerance:
            raise DataError(
                f"{plane.path}: expected the slices on one line, found this one "
                f"{float(np.linalg.norm(away)):.4g} mm beside it; export the slices "
                "of one acquisition, or resample them"
            )
