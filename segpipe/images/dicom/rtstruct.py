"""RTSTRUCT contours, filled on the grid of their image by its pixel centres."""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float64
from pydicom import Dataset

from segpipe.images.dicom.file import (
    items_of,
    number_of,
    numbers_of,
    quiet,
    read_dataset,
    value_of,
    word_of,
)
from segpipe.images.dicom.references import RTSTRUCT_SERIES
from segpipe.images.dicom.seg.reading import SegLabels, check_reference, overlap
from segpipe.images.dicom.series import DicomImage
from segpipe.images.grid import Grid
from segpipe.images.volume import LabelMap
from segpipe.project.errors import DataError

SOP_CLASS = "1.2.840.10008.5.1.4.1.1.481.3"  # RT Structure Set Storage
XOR = "CLOSEDPLANAR_XOR"
CLOSED = ("CLOSED_PLANAR", XOR)
SAME_VOXELS = 1e-3  # corners of a contour that is written twice lie closer
OFF_SLICE = 0.2  # gaps; a contour further from a slice belongs to another image
log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class _Roi:
    """A region of interest: its name and its closed contours, in voxels of the image.

    Attributes:
        name: ROIName.
        contours: Corners i, j, k of each contour.
        combined: Whether all contours are combined by exclusive or, as
            CLOSEDPLANAR_XOR says.
    """

    name: str
    contours: tuple[Float64[np.ndarray, "_ 3"], ...]
    combined: bool


@quiet()
def read_rtstruct(
    path: Path, source: DicomImage, *, only: frozenset[str] = frozenset()
) -> SegLabels:
    """Read a structure set: its closed planar contours, filled on the image's grid.

    A pixel belongs to a region if its centre lies within a contour and not within a
    hole of it: a contour that lies wholly within another is a hole, one within a hole
    is filled again. Contours that cross each other are joined, and one that is written
    twice counts once. Contours of the kind CLOSEDPLANAR_XOR are combined by exclusive
    or, as they say. A centre exactly on an edge belongs to one of its sides only, so
    adjacent regions do not overlap. Open contours and points enclose nothing and are
    left out with a warning; a region that encloses no pixel centre is warned of.

    Args:
        path: The RTSTRUCT file.
        source: The image that it was drawn on.
        only: Names of the regions to read; all if empty. Clinical sets hold regions
            that overlap all others, such as the body's outline. Regions of one name
            that is asked for are joined.

    Returns:
        The regions with a closed contour, with values from 1 in the order of ROINumber.

    Raises:
        DataError: If the file is not an RTSTRUCT or damaged; if contours refer to
            another image or lie between its slices; if regions overlap.

    Source:
        DICOM PS3.3, section C.8.8.6 (ROI Contour Module).
    """
    dataset = read_dataset(path)
    _check_series(path, dataset, source)
    grid = source.image.grid
    array = np.zeros(grid.shape, np.int16)
    structures: dict[str, int] = {}
    left_out: list[str] = []
    for roi in _rois(path, dataset, source):
        if only and roi.name not in only:
            left_out.append(roi.name)
            continue
        name, number = roi.name, len(structures) + 1
        if name in structures:
            numbered = f"{name} ({number})"
            joined = name in only and numbered not in only
            name = name if joined else numbered
            number = structures[name] if joined else number
        mask = _filled(path, roi, grid)
        if not mask.any():
            log.warning(
                "%s: %r encloses no centre of a pixel: it is empty on the image's grid",
                path,
                name,
            )
        others = array[mask & (array != 0) & (array != number)]
        if len(others):
            one = list(structures)[int(others[0]) - 1]
            raise overlap(path, one, name, len(others))
        array[mask] = number
        structures[name] = number
    if not structures and not left_out:
        raise DataError(
            f"{path}: expected closed contours, found none; export the structures as "
            "CLOSED_PLANAR contours"
        )
    return SegLabels(LabelMap(array, grid), structures, tuple(left_out))


def _check_series(path: Path, dataset: Dataset, source: DicomImage) -> None:
    """Check that the file is a structure set that was drawn on the image's series."""
    if value_of(path, dataset, "SOPClassUID") != SOP_CLASS:
        modality = word_of(path, dataset, "Modality")
        raise DataError(
            f"{path}: expected an RTSTRUCT, found {modality}; name the structure set"
        )
    uids = {
        word_of(path, series, "SeriesInstanceUID")
        for series in items_of(path, dataset, *RTSTRUCT_SERIES)
    }
    mine = word_of(path, source.slices[0], "SeriesInstanceUID")
    if uids and mine not in uids:
        raise DataError(
            f"{path}: expected contours of the series {mine}, found a reference to "
            f"{', '.join(sorted(uids))}; give the series that they were drawn on"
        )


def _rois(path: Path, dataset: Dataset, source: DicomImage) -> list[_Roi]:
    """The regions that have closed contours, sorted by their number."""
    described = {
        int(number_of(path, item, "ROINumber")): item
        for item in items_of(path, dataset, "StructureSetROISequence")
    }
    found: list[tuple[int, _Roi]] = []
    for item in items_of(path, dataset, "ROIContourSequence"):
        number = int(number_of(path, item, "ReferencedROINumber"))
        if number not in described:
            raise DataError(
                f"{path}: expected contours of regions {sorted(described)}, found "
                f"some of {number}; export the structures again"
            )
        roi = _roi(path, described[number], item, source)
        if roi.contours:
            found.append((number, roi))
    return [roi for _, roi in sorted(found, key=lambda pair: pair[0])]


def _roi(path: Path, roi: Dataset, item: Dataset, source: DicomImage) -> _Roi:
    instances = {word_of(path, header, "SOPInstanceUID") for header in source.slices}
    name = str(value_of(path, roi, "ROIName") or "unnamed")[:64]
    contours = []
    named = []
    combined = False
    for contour in items_of(path, item, "ContourSequence"):
        named.append(_names_slice(path, name, contour, instances))
        kind = word_of(path, contour, "ContourGeometricType")
        if kind in CLOSED:
            contours.append(_corners(path, contour, source.image.grid))
            combined = combined or kind == XOR
        else:
            log.warning(
                "%s: a %s contour of %r is left out: it encloses nothing",
                path,
                kind,
                name,
            )
    if not all(named):  # a named slice implies the frame of reference
        reference = word_of(path, roi, "ReferencedFrameOfReferenceUID")
        check_reference(path, reference, source)
    return _Roi(name, tuple(contours), combined)


def _names_slice(path: Path, name: str, contour: Dataset, instances: set[str]) -> bool:
    """Whether a contour names slices of the image; others are refused."""
    uids = {
        word_of(path, item, "ReferencedSOPInstanceUID")
        for item in items_of(path, contour, "ContourImageSequence")
    }
    strange = sorted(uids - instances)
    if strange:
        raise DataError(
            f"{path}: expected contours on slices of the image, found one of {name!r} "
            f"on {strange[0]}, which is none of them; give the whole series that the "
            "structures were drawn on"
        )
    return bool(uids)


def _corners(
    path: Path, contour: Dataset, grid: Grid
) -> Float64[np.ndarray, "corner 3"]:
    """The corners of a contour in voxels, k a whole number."""
    data = value_of(path, contour, "ContourData")
    count = len(data) if hasattr(data, "__len__") else 0
    if count < 9 or count % 3:
        raise DataError(
            f"{path}: expected at least 3 corners of 3 numbers in ContourData, found "
            f"{count} numbers; export the structures again"
        )
    numbers = numbers_of(path, data, "ContourData", count)
    points = np.array(numbers).reshape(-1, 3) * (-1, -1, 1)  # LPS+ to RAS+
    corners = grid.indices_of(points)
    k = np.rint(corners[:, 2].mean())
    away = float(np.abs(corners[:, 2] - k).max())
    if away > OFF_SLICE or not 0 <= k < grid.shape[2]:
        raise DataError(
            f"{path}: expected contours in the slices of the image, found one at slice "
            f"{corners[:, 2].min():.2f} to {corners[:, 2].max():.2f} of "
            f"{grid.shape[2]}; give the series that it was drawn on"
        )
    corners[:, 2] = k
    return corners


def _filled(path: Path, roi: _Roi, grid: Grid) -> Bool[np.ndarray, "i j k"]:
    mask = np.zeros(grid.shape, bool)
    slices: dict[int, list[np.ndarray]] = {}
    for corners in roi.contours:
        low, high = corners[:, :2].min(axis=0), corners[:, :2].max(axis=0)
        if (low < -0.5).any() or (high > np.array(grid.shape[:2]) - 0.5).any():
            log.warning("%s: %r reaches beyond the image and is cut", path, roi.name)
        slices.setdefault(int(corners[0, 2]), []).append(corners[:, :2])
    for k, contours in slices.items():
        if roi.combined:
            for corners in contours:
                mask[:, :, k] ^= inside(corners, grid.shape[:2])
        else:
            mask[:, :, k] = _nested(_distinct(contours), grid.shape[:2])
    return mask


def _distinct(contours: list[np.ndarray]) -> list[np.ndarray]:
    """The contours without copies, which may begin elsewhere or run backwards."""
    kept: list[tuple[np.ndarray, np.ndarray]] = []
    for corners in contours:
        rounded = np.unique(np.rint(corners / SAME_VOXELS), axis=0)
        if not any(
            rounded.shape == other.shape and np.abs(rounded - other).max() <= 1
            for other, _ in kept
        ):
            kept.append((rounded, corners))
    return [corners for _, corners in kept]


def _nested(
    contours: list[np.ndarray], shape: tuple[int, int]
) -> Bool[np.ndarray, "i j"]:
    """The union of the contours, each without its holes: the contours within it."""
    filled = sorted((inside(c, shape) for c in contours), key=np.sum, reverse=True)
    within = [
        [m for m in range(n) if not (filled[n] & ~filled[m]).any()]
        for n in range(len(filled))
    ]
    depths: list[int] = []
    for around in within:
        depths.append(1 + max((depths[m] for m in around), default=-1))
    mask = np.zeros(shape, bool)
    for n, depth in enumerate(depths):
        if depth % 2 == 0:
            part = filled[n].copy()
            for other, around in enumerate(within):
                if n in around and depths[other] == depth + 1:
                    part &= ~filled[other]
            mask |= part
    return mask


def inside(
    corners: Float64[np.ndarray, "corner 2"], shape: tuple[int, int]
) -> Bool[np.ndarray, "i j"]:
    """Which pixel centres lie inside a polygon, by the even-odd rule.

    Args:
        corners: Corners in pixels i, j; the last is connected to the first.
        shape: Number of pixels along i and j.

    Source:
        Ray crossing, Shimrat 1962, doi:10.1145/368637.368653: each edge includes its
        lower end and excludes its upper end.
    """
    crossings: list[list[float]] = [[] for _ in range(shape[1])]
    for (i, j), (to_i, to_j) in zip(
        corners.tolist(), np.roll(corners, -1, axis=0).tolist(), strict=True
    ):
        first, last = int(np.ceil(min(j, to_j))), int(np.ceil(max(j, to_j)))
        for row in range(max(first, 0), min(last, shape[1])):
            crossings[row].append(i + (row - j) / (to_j - j) * (to_i - i))
    mask = np.zeros(shape, bool)
    columns = np.arange(shape[0])
    for row, places in enumerate(crossings):
        if places:
            left_of = np.searchsorted(np.sort(places), columns, side="right")
            mask[:, row] = left_of % 2 == 1
    return mask
