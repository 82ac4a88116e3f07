"""DICOM series: files grouped by their headers, read as one checked volume."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Shaped
from pydicom import Dataset
from scipy import ndimage

from segpipe.images.dicom.file import (
    frame_value,
    numbers_of,
    pixels_of,
    quiet,
    read_dataset,
    read_header,
    text_of,
    value_of,
)
from segpipe.images.dicom.planes import Plane, planes_of
from segpipe.images.dicom.stack import (
    GAP_TOLERANCE,
    LARGEST_TILT_DEGREES,
    Stack,
    stack_of,
)
from segpipe.images.grid import Grid
from segpipe.images.values import finite_float32
from segpipe.images.volume import Image
from segpipe.project.errors import DataError
from segpipe.project.progress import track

DIRECTORY = "1.2.840.10008.1.3.10"  # Media Storage Directory: a DICOMDIR, no image
NO_IMAGES = {
    "SEG": "read it as a segmentation",
    "RTSTRUCT": "read it as structures",
    "RTDOSE": "leave it out",
    "RTPLAN": "leave it out",
    "SR": "leave it out",
    "PR": "leave it out",
    "KO": "leave it out",
}


@dataclass(frozen=True)
class Series:
    """The files of one series, of images or of other objects.

    Attributes:
        uid: SeriesInstanceUID.
        modality: Modality of the first file, such as CT, MR, SEG or RTSTRUCT.
        files: All files, sorted by name.
    """

    uid: str
    modality: str
    files: tuple[Path, ...]


@dataclass(frozen=True, eq=False)
class DicomImage:
    """A series as a volume.

    Attributes:
        image: The rescaled values (Hounsfield units of a CT), i = column, j = row,
            k = slice along the normal.
        slices: One header for each slice, in the order of k; a multi-frame object has
            one for all slices.
        warnings: What was resampled or ignored, in words.
    """

    image: Image
    slices: tuple[Dataset, ...]
    warnings: tuple[str, ...]


@quiet()
def find_series(files: Iterable[Path]) -> list[Series]:
    """Group DICOM files by the series that their headers name; a DICOMDIR is left out.

    Returns:
        The series, sorted by UID.

    Raises:
        DataError: If a file is not DICOM, is damaged, or names no series.
    """
    members: dict[str, list[tuple[Path, str]]] = defaultdict(list)
    named = sorted(files)
    for path in track(named, "read headers", total=len(named), unit="file"):
        header = read_header(path, ["SeriesInstanceUID", "Modality", "SOPClassUID"])
        kind = value_of(path, header.file_meta, "MediaStorageSOPClassUID")
        if kind == DIRECTORY:
            continue
        uid, modality, _ = (
            text_of(path, header, keyword)
            for keyword in ("SeriesInstanceUID", "Modality", "SOPClassUID")
        )
        members[uid].append((path, modality))
    return [
        Series(uid, found[0][1], tuple(path for path, _ in found))
        for uid, found in sorted(members.items())
    ]


def read_instance_uids(series: Series) -> list[str]:
    """SOPInstanceUID of each file.

    Raises:
        DataError: If a file is damaged or has none.
    """
    tag = "SOPInstanceUID"
    return [text_of(path, read_header(path, [tag]), tag) for path in series.files]


def read_patient_id(series: Series) -> str:
    """PatientID of the first file, stripped; empty if there is none."""
    path, tag = series.files[0], "PatientID"
    return str(value_of(path, read_header(path, [tag]), tag) or "").strip()


@quiet()
def read_series(series: Series, *, resample_tilt: bool = False) -> DicomImage:
    """Read a series of CT, MR or another kind of images as one volume.

    The grid follows from the positions of the slices; their stated thickness and
    spacing are used only for a single slice.

    Args:
        series: A series from find_series.
        resample_tilt: Whether slices of a tilted gantry are resampled linearly to a
            straight grid; otherwise they are refused.

    Raises:
        DataError: If slices are missing, doubled, uneven, tilted or of several volumes;
            if the geometry is missing; if pixels are coloured or damaged, or cannot be
            decoded.

    Source:
        DICOM PS3.3, sections C.7.6.2.1.1 (positions), C.11.1.1.2 (rescaling) and
        C.7.6.16 (frames).
    """
    _check_images(series)
    headers = {path: read_header(path) for path in series.files}
    planes = [plane for path in headers for plane in planes_of(path, headers[path])]
    stack = stack_of(planes)
    tilted = stack.tilt_degrees > LARGEST_TILT_DEGREES
    if tilted and not resample_tilt:
        raise _tilt_error(stack)
    array, grid, warnings = _voxels(stack, headers), stack.grid, _thickness(stack)
    if tilted:
        array, grid = straightened(array, grid)
        warnings.append(
            f"{stack.planes[0].path}: the gantry was tilted by "
            f"{stack.tilt_degrees:.2f} degrees; the slices were resampled linearly to "
            "a straight grid"
        )
    paths = dict.fromkeys(plane.path for plane in stack.planes)
    return DicomImage(
        Image(array[None], grid), tuple(headers[path] for path in paths), (*warnings,)
    )


def _check_images(series: Series) -> None:
    if series.modality in NO_IMAGES:
        raise DataError(
            f"{series.files[0]}: expected a series of images, found {series.modality}; "
            f"{NO_IMAGES[series.modality]}"
        )


def _tilt_error(stack: Stack) -> DataError:
    return DataError(
        f"{stack.planes[0].path}: expected slices along their normal, found them "
        f"{stack.tilt_degrees:.2f} degrees off it (gantry tilt); read the series "
        "with its tilt resampled"
    )


def _thickness(stack: Stack) -> list[str]:
    first = stack.planes[0]
    gap = stack.grid.spacing[2]
    thick = first.thickness
    if thick is None or abs(thick - gap) <= GAP_TOLERANCE * gap:
        return []
    return [
        f"{first.path}: SliceThickness is {thick:g} mm, but the slices lie "
        f"{gap:.4g} mm apart; their positions are used"
    ]


def _voxels(stack: Stack, headers: dict[Path, Dataset]) -> Float32[np.ndarray, "i j k"]:
    """The rescaled values, read with the pixels of one file at a time in memory."""
    array = np.empty(stack.grid.shape, np.float32)
    places: dict[Path, list[tuple[int, Plane]]] = defaultdict(list)
    for k, plane in enumerate(stack.planes):
        places[plane.path].append((k, plane))
    for path, members in places.items():
        frames = pixels_of(path, read_dataset(path))
        for k, plane in members:
            stored = frames[plane.frame or 0]
            if stored.T.shape != plane.shape:
                raise DataError(
                    f"{path}: expected {plane.shape} pixels, found {stored.T.shape}; "
                    "export the file again"
                )
            array[:, :, k] = _rescaled(path, headers[path], plane.frame, stored).T
    return array


def _rescaled(
    path: Path, header: Dataset, frame: int | None, stored: Shaped[np.ndarray, "j i"]
) -> Float32[np.ndarray, "j i"]:
    if value_of(path, header, "ModalityLUTSequence") is not None:
        raise DataError(
            f"{path}: expected a rescale slope, found a modality look-up table; "
            "export the series with the table applied"
        )
    numbers = []
    for keyword, default in (("RescaleSlope", 1.0), ("RescaleIntercept", 0.0)):
        value = frame_value(path, header, frame, keyword)
        value = default if value is None else value
        numbers.append(numbers_of(path, value, keyword, 1)[0])
    slope, intercept = numbers
    if slope == 0:
        raise DataError(
            f"{path}: expected a RescaleSlope, found 0; export the series again"
        )
    with np.errstate(over="ignore"):  # an overflow becomes infinite and is refused
        values = stored.astype(np.float64) * slope + intercept
    return finite_float32(path, values)


def straightened(
    array: Float32[np.ndarray, "i j k"], grid: Grid
) -> tuple[Float32[np.ndarray, "more_i more_j k"], Grid]:
    """Resample slices of a tilted gantry to a grid at right angles that holds them all.

    Each slice is shifted linearly in its plane. Voxels outside every slice get the
    lowest value of the volume, which is air in a CT.
    """
    straight = _straight(grid)
    starts = np.array([(0.0, 0.0, float(k)) for k in range(grid.shape[2])])
    shifts = straight.indices_of(grid.points_of(starts))[:, :2]
    low = np.floor(shifts.min(axis=0) + 1e-6)
    high = np.ceil(shifts.max(axis=0) - 1e-6)
    i, j = (int(n) for n in grid.shape[:2] + high - low)
    lowest = float(array.min())
    canvas = np.full((i, j, grid.shape[2]), lowest, np.float32)
    for k, shift in enumerate(shifts - low):
        plane = np.full((i, j), lowest, np.float32)
        plane[: grid.shape[0], : grid.shape[1]] = array[:, :, k]
        ndimage.shift(
            plane, shift, canvas[:, :, k], order=1, mode="grid-constant", cval=lowest
        )
    affine = straight.affine.copy()
    affine[:3, 3] = straight.points_of(np.array([[*low, 0.0]]))[0]
    return canvas, Grid((i, j, grid.shape[2]), affine, "mm")


def _straight(grid: Grid) -> Grid:
    """The grid with its slices stacked along their normal at the same distance."""
    affine = grid.affine.copy()
    normal = np.cross(affine[:3, 0], affine[:3, 1])
    normal /= np.linalg.norm(normal)
    affine[:3, 2] = normal * (normal @ affine[:3, 2])
    return Grid(grid.shape, affine, "mm")
