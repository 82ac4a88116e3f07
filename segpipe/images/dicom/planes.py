"""Planes: where single DICOM slices lie, read from their headers."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64
from pydicom import Dataset

from segpipe.images.dicom.file import (
    frame_value,
    frames_of,
    missing_tag,
    numbers_of,
    value_of,
    word_of,
)
from segpipe.images.grid import Grid
from segpipe.project.errors import DataError

RIGHT_ANGLE_TOLERANCE = 0.01  # cosine
ROUNDED_MM = 0.1  # the digit to which some programs round positions
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])
# Modalities whose images are projections through the body: PS3.3, section C.7.3.1.1.1.
PROJECTIONS = ("CR", "DX", "IO", "MG", "PX", "RF", "RG", "XA")

Point = tuple[float, float, float]


@dataclass(frozen=True)
class Plane:
    """Where one slice lies, in DICOM coordinates: LPS+ in mm.

    Attributes:
        path: File of the slice.
        frame: Number of the frame in the file, from 0; None in a single-frame file.
        shape: Number of columns (i) and of rows (j).
        position: Centre of the first pixel.
        along_i: Unit vector from column to column.
        along_j: Unit vector from row to row.
        spacing: Distance of columns and of rows.
        thickness: SliceThickness, if given.
        gap: SpacingBetweenSlices, if given; positions of slices take precedence.
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
        """Position of the slice along its normal, in mm."""
        return float(self.normal @ np.array(self.position))

    @property
    def rounded(self) -> bool:
        """Whether each coordinate of the position has one decimal at most."""
        tenths = np.array(self.position) / ROUNDED_MM
        return bool((abs(tenths - np.rint(tenths)) < 1e-6).all())


def planes_of(path: Path, dataset: Dataset) -> tuple[Plane, ...]:
    """The planes of one object, in the order of its frames.

    Raises:
        DataError: If a tag of the geometry is missing or invalid, or if it is a
            radiograph, which has no place.
    """
    _check_no_projection(path, dataset)
    size = []
    for keyword in ("Columns", "Rows"):
        value = value_of(path, dataset, keyword)
        if value is None:
            raise missing_tag(path, keyword)
        size.append(int(numbers_of(path, value, keyword, 1)[0]))
    reference = word_of(path, dataset, "FrameOfReferenceUID")
    return tuple(
        _plane(path, dataset, frame, (size[0], size[1]), reference)
        for frame in frames_of(path, dataset)
    )


def _check_no_projection(path: Path, dataset: Dataset) -> None:
    modality = word_of(path, dataset, "Modality")
    placed = ("ImagePositionPatient", "PerFrameFunctionalGroupsSequence")
    if modality not in PROJECTIONS or any(value_of(path, dataset, k) for k in placed):
        return
    mend = "save its pixels as .tif and give that file"
    for keyword in ("PixelSpacing", "ImagerPixelSpacing"):
        value = value_of(path, dataset, keyword)
        if value is not None:
            rows, columns = numbers_of(path, value, keyword, 2)
            mend += f", with --spacing-mm {columns:g},{rows:g} (its {keyword}) for mm"
            break
    raise DataError(
        f"{path}: expected slices that have a place in the patient, found a radiograph "
        f"({modality}), which has none; {mend}"
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
            raise missing_tag(path, keyword)
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


def grid_of(first: Plane, count: int, step: Float64[np.ndarray, "3"]) -> Grid:
    """The grid of slices like the first, each one step (LPS+, mm) after another."""
    affine = np.eye(4)
    affine[:3, 0] = np.array(first.along_i) * first.spacing[0]
    affine[:3, 1] = np.array(first.along_j) * first.spacing[1]
    affine[:3, 2] = step
    affine[:3, 3] = first.position
    affine[:3] = LPS_TO_RAS @ affine[:3]
    return Grid((*first.shape, count), affine, "mm")
