"""Stack: DICOM slices checked to be one evenly spaced volume, and its grid."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from segpipe.images.dicom.file import frame_value, missing_tag, read_header, word_in
from segpipe.images.dicom.planes import ROUNDED_MM, Plane, grid_of
from segpipe.images.grid import Grid
from segpipe.project.errors import DataError

GAP_TOLERANCE = 0.01  # as a fraction of the gap between slices
GAP_TOLERANCE_MM = 0.01  # the least tolerance: scanners round positions to this
LARGEST_TILT_DEGREES = 0.5  # cosine 0.009: less than what NIfTI refuses as shear
DIRECTION_TOLERANCE = 1e-4  # per direction cosine: 0.006 degrees
FINEST_ROUNDED_MM = 0.4  # the smallest gap at which such rounding hides no slice
# What may tell apart slices at one place: in single frames, in frames of one object.
VOLUMES = (
    "EchoTime",
    "EchoNumbers",
    "TemporalPositionIdentifier",
    "DiffusionBValue",
    "TriggerTime",
    "InversionTime",
    "ImageType",
    "AcquisitionNumber",
)
VOLUMES_OF_FRAMES = (
    "EffectiveEchoTime",
    "TemporalPositionIndex",
    "DiffusionBValue",
    "NominalCardiacTriggerDelayTime",
    "StackID",
)


@dataclass(frozen=True, eq=False)
class Stack:
    """Slices that make up one volume.

    Attributes:
        planes: The slices in the order of k, along their normal.
        grid: Grid of their voxels; sheared if the stack is tilted.
        tilt_degrees: Angle between the step from slice to slice and their normal.
    """

    planes: tuple[Plane, ...]
    grid: Grid
    tilt_degrees: float


def stack_of(planes: Sequence[Plane]) -> Stack:
    """Stack slices to one volume, tilted or not.

    Raises:
        DataError: If they belong to several volumes, or some are missing, doubled or
            unevenly spaced.
    """
    _check_alike(planes)
    ordered = sorted(planes, key=lambda plane: plane.height)
    first = ordered[0]
    if len(ordered) == 1:
        return Stack(
            (first,), grid_of(first, 1, first.normal * _stated_gap(first)), 0.0
        )
    step = _step(ordered)
    fault = _gap_fault(ordered) or _line_fault(ordered, step)
    tilted = _tilt_degrees(first, step) > LARGEST_TILT_DEGREES
    if (fault or tilted) and _is_rounded(ordered, step):
        step = _unrounded(ordered, step)
    elif fault:
        raise fault
    grid = grid_of(first, len(ordered), step)
    return Stack(tuple(ordered), grid, _tilt_degrees(first, step))


def _step(ordered: Sequence[Plane]) -> Float64[np.ndarray, "3"]:
    way = np.array(ordered[-1].position) - np.array(ordered[0].position)
    return np.asarray(way / (len(ordered) - 1))


def _tilt_degrees(first: Plane, step: Float64[np.ndarray, "3"]) -> float:
    length = float(np.linalg.norm(step))
    cosine = step @ first.normal / length if length else 1.0
    return math.degrees(math.acos(float(np.clip(cosine, -1, 1))))


def _is_rounded(ordered: Sequence[Plane], step: Float64[np.ndarray, "3"]) -> bool:
    """Whether the positions have one decimal, and are even but for this rounding.

    Each coordinate is then half a digit off, here and at the ends that give the step.
    """
    places = np.array([plane.position for plane in ordered])
    even = places[0] + np.arange(len(ordered))[:, None] * step
    return (
        all(plane.rounded for plane in ordered)
        and float(np.linalg.norm(step)) >= FINEST_ROUNDED_MM
        and bool((abs(places - even) <= ROUNDED_MM + 1e-6).all())
    )


def _unrounded(
    ordered: Sequence[Plane], step: Float64[np.ndarray, "3"]
) -> Float64[np.ndarray, "3"]:
    """The step along the normal, and as long as stated, if it is so but for rounding.

    Over few slices the rounding of the first and the last would show as a tilt.
    """
    first = ordered[0]
    off = ROUNDED_MM * math.sqrt(3) / (len(ordered) - 1)
    length = float(step @ first.normal)
    stated = [gap for gap in (first.gap, first.thickness) if gap is not None]
    length = next((gap for gap in stated if abs(gap - length) <= off), length)
    straight = first.normal * length
    return straight if float(np.linalg.norm(step - straight)) <= off else step


def slab_of(planes: Sequence[Plane]) -> Grid:
    """The smallest grid that holds the planes, which may leave slices of it empty.

    Raises:
        DataError: If the planes belong to several volumes or lie on no regular grid.
    """
    _check_alike(planes)
    ordered = sorted(planes, key=lambda plane: plane.height)
    first = ordered[0]
    heights = np.array([plane.height - first.height for plane in ordered])
    steps = np.diff(heights)
    steps = steps[steps > GAP_TOLERANCE_MM]
    if not len(steps):
        return grid_of(first, 1, first.normal * _stated_gap(first))
    for gap in (first.gap, float(steps.min())):
        if gap is not None and _multiples(steps, gap):
            count = round(float(heights[-1]) / gap)
            way = np.array(ordered[-1].position) - np.array(first.position)
            return grid_of(first, count + 1, way / count)
    if first.gap is not None and _rounded_multiples(ordered, heights, first.gap):
        count = round(float(heights[-1]) / first.gap)
        return grid_of(first, count + 1, first.normal * first.gap)
    raise DataError(
        f"{first.path}: expected frames at multiples of one gap, found gaps of "
        f"{float(steps.min()):.4g} to {float(steps.max()):.4g} mm; give the image "
        "that the segmentation was drawn on"
    )


def _multiples(steps: np.ndarray, gap: float) -> bool:
    counts = np.rint(steps / gap)
    tolerance = max(GAP_TOLERANCE * gap, GAP_TOLERANCE_MM)
    return bool((counts >= 1).all() and (abs(steps - counts * gap) <= tolerance).all())


def _rounded_multiples(
    ordered: Sequence[Plane], heights: np.ndarray, gap: float
) -> bool:
    """Whether positions of one decimal lie at multiples of a gap but for rounding."""
    off = ROUNDED_MM * float(np.abs(ordered[0].normal).sum()) + 1e-6
    return (
        all(plane.rounded for plane in ordered)
        and gap >= FINEST_ROUNDED_MM
        and bool((abs(heights - np.rint(heights / gap) * gap) <= off).all())
    )


def _stated_gap(plane: Plane) -> float:
    gap = plane.gap or plane.thickness
    if gap is None:
        raise missing_tag(plane.path, "SpacingBetweenSlices or SliceThickness")
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


def _gap_fault(ordered: Sequence[Plane]) -> DataError | None:
    """The error for slices that are doubled, missing or uneven, if some are."""
    heights = np.array([plane.height for plane in ordered])
    gaps = np.diff(heights)
    common = float(np.sort(gaps)[(len(gaps) - 1) // 2])
    tolerance = max(GAP_TOLERANCE * common, GAP_TOLERANCE_MM)
    for place, gap in enumerate(gaps.tolist()):
        if gap < GAP_TOLERANCE_MM:
            return _doubled(ordered[place], ordered[place + 1], ordered)
    wide = tolerance
    if common >= FINEST_ROUNDED_MM and all(plane.rounded for plane in ordered):
        wide = max(tolerance, 2 * ROUNDED_MM)  # a missing slice is named first
    for limit in (wide, tolerance):
        for place, gap in enumerate(gaps.tolist()):
            if abs(gap - common) > limit:
                return _uneven(ordered[place], ordered[place + 1], common, limit)
    return None


def _uneven(below: Plane, above: Plane, common: float, tolerance: float) -> DataError:
    """The error for a gap that is not the common one."""
    gap = above.height - below.height
    between = (
        f"between {below.height:.2f} mm ({below.path.name}) and "
        f"{above.height:.2f} mm ({above.path.name}) along the normal"
    )
    lacking = round(gap / common) - 1
    if lacking > 0 and abs(gap - (lacking + 1) * common) <= tolerance:
        return DataError(
            f"{above.path}: expected slices every {common:.4g} mm, found "
            f"{lacking} missing {between}; fetch the missing slices"
        )
    return DataError(
        f"{above.path}: expected slices every {common:.4g} mm, found an uneven gap "
        f"of {gap:.4g} mm {between}; export a series with even gaps, or resample it"
    )


def _doubled(one: Plane, other: Plane, planes: Sequence[Plane]) -> DataError:
    """The error for two slices at one place: several volumes, or a copy."""
    where = f"{one.path.name} at {one.height:.2f} mm along the normal"
    keywords = VOLUMES if one.frame is None else VOLUMES_OF_FRAMES
    headers = {path: read_header(path) for path in {plane.path for plane in planes}}
    for keyword in keywords:
        mine, others, *rest = (
            frame_value(plane.path, headers[plane.path], plane.frame, keyword)
            for plane in (one, other, *planes)
        )
        if None not in (mine, others) and word_in(mine) != word_in(others):
            found = dict.fromkeys(word_in(value) for value in rest if value is not None)
            mend = (
                f"export each {keyword} as a series of its own"
                if one.path == other.path
                else f"give the files of one {keyword} alone"
            )
            return DataError(
                f"{other.path}: expected one volume, found {len(found)} at one place, "
                f"as beside {where}: their {keyword} is "
                f"{' or '.join(sorted(found))}; {mend}"
            )
    return DataError(
        f"{other.path}: expected one slice a position, found a duplicate of {where}; "
        "remove copies, and keep each echo or time point as a series of its own"
    )


def _line_fault(
    ordered: Sequence[Plane], step: Float64[np.ndarray, "3"]
) -> DataError | None:
    """The error for first pixels that lie on no line, as those of a tilted stack do."""
    start = np.array(ordered[0].position)
    tolerance = max(GAP_TOLERANCE * float(np.linalg.norm(step)), GAP_TOLERANCE_MM)
    for place, plane in enumerate(ordered):
        away = np.array(plane.position) - start - place * step
        away -= plane.normal * (plane.normal @ away)  # the gaps were checked before
        if float(np.linalg.norm(away)) > tolerance:
            return DataError(
                f"{plane.path}: expected the slices on one line, found this one "
                f"{float(np.linalg.norm(away)):.4g} mm beside it; export the slices "
                "of one acquisition, or resample them"
            )
    return None
