"""Write a label map as DICOM-SEG through highdicom, with reproducible bytes."""

import hashlib
import itertools
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
from highdicom.color import CIELabColor
from highdicom.seg import SegmentAlgorithmTypeValues, SegmentationTypeValues
from highdicom.seg import SegmentDescription as Description
from jaxtyping import Integer, UInt
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian

from segpipe.images.dicom.file import path_of, quiet, value_of
from segpipe.images.dicom.planes import LPS_TO_RAS, planes_of
from segpipe.images.dicom.seg.codes import codes_of
from segpipe.images.dicom.seg.source import (
    copy_patient,
    cosines_of,
    derived_uid,
    reference_of,
)
from segpipe.images.dicom.series import DicomImage
from segpipe.images.dicom.stack import Stack, stack_of
from segpipe.images.values import Legend
from segpipe.project.errors import DataError

SAME_MM = 1e-3  # grids whose corners are closer are the same
GOLDEN_ANGLE = math.pi * (3 - math.sqrt(5))  # keeps any number of hues far apart
LIGHTNESS, CHROMA = 65.0, 70.0
SERIES_NUMBER = 1000  # higher than the numbers of scanners
LONGEST = 64  # characters of a DICOM LO value


@dataclass(frozen=True)
class Algorithm:
    """The program and segmenter that made the segments.

    Attributes:
        name: Name of the program.
        version: Version of the program.
        digest: Digest of the segmenter with its weights.
    """

    name: str
    version: str
    digest: str


@quiet()
def write_seg(
    path: Path,
    labels: Integer[np.ndarray, "i j k"],
    source: DicomImage,
    *,
    legend: Legend,
    algorithm: Algorithm,
    number: int = 1,
) -> None:
    """Write a BINARY segmentation: one segment a structure, in the order of the legend.

    Segments of structures that overlap hold all their voxels, each in its own frames.

    The same labels, source and segmenter give the same UIDs and the same bytes: dates
    come from the source, not from the clock. Slices without a label are left out,
    unless all are empty.

    Args:
        path: File to write, atomically.
        labels: The label map on the grid of the source; 0 is background.
        source: The image that was segmented.
        legend: The structures, and the values of each in the labels.
        algorithm: The program and segmenter.
        number: Number of the object in its series.

    Raises:
        DataError: If the source lacks a tag that a segmentation must refer to.

    Source:
        DICOM PS3.3, section A.51; highdicom, doi:10.1007/s10278-022-00683-y.
    """
    assert labels.shape == source.image.grid.shape
    names = list(legend.structures[1:])
    assert names
    assert set(np.unique(labels).tolist()) <= {*legend.values}
    segments = _numbered(labels, legend)
    seg = _segmentation(segments, source, names, algorithm, number)
    if _several_objects(source):
        _name_others(seg, source)
    _state_gap(seg, source.image.grid.spacing[2])
    copy_patient(seg, source.slices[0])
    _make_reproducible(seg, source.slices[0])
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    seg.save_as(part)
    os.replace(part, path)


def _numbered(
    labels: Integer[np.ndarray, "i j k"], legend: Legend
) -> UInt[np.ndarray, "i j k ..."]:
    """The segment at each voxel, from 1; with an axis of segments if they overlap."""
    count = len(legend.structures)
    if legend.unions is not None:
        masks = [legend.mask(labels, number) for number in range(1, count)]
        return np.stack(masks, axis=-1).astype(np.uint8)
    numbers = np.zeros(labels.shape, np.uint8 if count <= 256 else np.uint16)
    for number in range(1, count):
        numbers[legend.mask(labels, number)] = number
    return numbers


def _segmentation(
    numbers: UInt[np.ndarray, "i j k ..."],
    source: DicomImage,
    names: list[str],
    algorithm: Algorithm,
    number: int,
) -> highdicom.seg.Segmentation:
    path = path_of(source.slices[0])
    series = str(value_of(path, source.slices[0], "SeriesInstanceUID"))
    planes = [planes_of(path_of(header), header) for header in source.slices]
    stack = stack_of(list(itertools.chain(*planes)))
    references = [reference_of(header, stack) for header in source.slices]
    if _several_objects(source):  # highdicom takes one; _name_others adds the others
        references = references[:1]
    frames, places = _frames(numbers, source, stack)
    identity = [series, algorithm.digest]
    own = identity if number == 1 else [*identity, str(number)]
    mask = hashlib.sha256(numbers.tobytes() + repr(names).encode()).hexdigest()
    try:
        return highdicom.seg.Segmentation(
            references,
            frames,
            SegmentationTypeValues.BINARY,
            _descriptions(names, algorithm, own),
            series_instance_uid=derived_uid("series", *identity),
            series_number=SERIES_NUMBER,
            sop_instance_uid=derived_uid("instance", *own, mask),
            instance_number=number,
            manufacturer="segpipe",
            manufacturer_model_name=algorithm.name[:LONGEST],
            software_versions=algorithm.version[:LONGEST],
            device_serial_number=algorithm.digest[:LONGEST],
            series_description=f"Segmentation by {algorithm.name}"[:LONGEST],
            content_label="SEGMENTATION",
            transfer_syntax_uid=ExplicitVRLittleEndian,
            omit_empty_frames=bool(numbers.any()),
            specific_character_set="ISO_IR 192",
            **places,
        )
    except (AttributeError, KeyError, ValueError) as error:
        raise DataError(
            f"{path}: expected a series that a segmentation can refer to, found "
            f"{type(error).__name__} ({error}); export the series with its whole header"
        ) from error


def _several_objects(source: DicomImage) -> bool:
    """Whether the series is several multi-frame objects, as a concatenation is."""
    groups = "PerFrameFunctionalGroupsSequence"
    return len(source.slices) > 1 and groups in source.slices[0]


def _name_others(seg: Dataset, source: DicomImage) -> None:
    """Name the further objects of the series beside the first."""
    (series,) = seg.ReferencedSeriesSequence
    for header in source.slices[1:]:
        item = Dataset()
        item.ReferencedSOPClassUID = header.SOPClassUID
        item.ReferencedSOPInstanceUID = header.SOPInstanceUID
        series.ReferencedInstanceSequence.append(item)


def _state_gap(seg: Dataset, gap: float) -> None:
    """State the distance of the frames where highdicom states that of the source."""
    for group in seg.SharedFunctionalGroupsSequence:
        for measures in group.get("PixelMeasuresSequence", ()):
            stated = measures.get("SpacingBetweenSlices")
            if stated is not None and abs(float(stated) - gap) > SAME_MM:
                measures.SpacingBetweenSlices = f"{gap:.10g}"


def _frames(
    numbers: UInt[np.ndarray, "i j k ..."], source: DicomImage, stack: Stack
) -> tuple[UInt[np.ndarray, "frame row column ..."], dict[str, Any]]:
    """The segments as frames for highdicom, and their places if not the source's."""
    slices = np.ascontiguousarray(np.swapaxes(numbers, 0, 2))
    grid = source.image.grid
    as_stored = stack.grid.matches(grid, tolerance=SAME_MM)
    if as_stored and not _several_objects(source):
        order = np.array([p.frame or 0 for p in stack.planes])
        if len(source.slices) > 1:
            return slices, {}
        return slices[np.argsort(order)], {}
    starts = np.array([(0.0, 0.0, float(k)) for k in range(grid.shape[2])])
    positions = grid.points_of(starts) @ LPS_TO_RAS
    i, j, k = grid.spacing
    return slices, {
        "plane_positions": [
            highdicom.PlanePositionSequence("PATIENT", position)
            for position in positions.tolist()
        ],
        "plane_orientation": highdicom.PlaneOrientationSequence(
            "PATIENT", [float(cosine) for cosine in cosines_of(stack)]
        ),
        "pixel_measures": highdicom.PixelMeasuresSequence([j, i], k, k),
    }


def _descriptions(
    names: list[str], algorithm: Algorithm, identity: list[str]
) -> list[Description]:
    by = highdicom.AlgorithmIdentificationSequence(
        algorithm.name[:LONGEST],
        codes.DCM.ArtificialIntelligence,
        algorithm.version[:LONGEST],
        parameters={"segmenter": algorithm.digest},
    )
    return [
        Description(
            number,
            name[:LONGEST],
            *codes_of(name),
            SegmentAlgorithmTypeValues.AUTOMATIC,
            by,
            tracking_uid=derived_uid("segment", *identity, name),
            tracking_id=name[:LONGEST],
            display_color=_color(number),
        )
        for number, name in enumerate(names, start=1)
    ]


def _color(number: int) -> CIELabColor:
    angle = number * GOLDEN_ANGLE
    return CIELabColor(LIGHTNESS, CHROMA * math.cos(angle), CHROMA * math.sin(angle))


def _make_reproducible(seg: Dataset, header: Dataset) -> None:
    """Replace what highdicom takes from the clock and from random numbers."""
    path = path_of(header)
    date = value_of(path, header, "SeriesDate") or value_of(path, header, "StudyDate")
    time = value_of(path, header, "SeriesTime") or value_of(path, header, "StudyTime")
    for kind in ("Content", "Series", "InstanceCreation"):
        setattr(seg, f"{kind}Date", date or "19000101")
        setattr(seg, f"{kind}Time", time or "000000")
    for item in seg.get("ContributingEquipmentSequence", ()):
        if "ContributionDateTime" in item:
            del item.ContributionDateTime
    organization = derived_uid("dimensions", str(seg.SOPInstanceUID))
    for item in (*seg.DimensionOrganizationSequence, *seg.DimensionIndexSequence):
        item.DimensionOrganizationUID = organization
