"""Structure sets (RTSTRUCT) with known contours, written by pydicom alone."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, RTStructureSetStorage

from segpipe.images.dicom.series import DicomImage
from tests.support.dicoms import SECRETS

Corners = list[tuple[float, float, float]]  # in voxels of the image


def box(low: tuple[float, float], high: tuple[float, float], k: float = 1) -> Corners:
    (i, j), (to_i, to_j) = low, high
    return [(i, j, k), (to_i, j, k), (to_i, to_j, k), (i, to_j, k)]


def contour_of(
    source: DicomImage, corners: Corners, kind: str = "CLOSED_PLANAR"
) -> Dataset:
    item = Dataset()
    item.ContourGeometricType = kind
    item.NumberOfContourPoints = len(corners)
    points = source.image.grid.points_of(np.array(corners, np.float64)) * (-1, -1, 1)
    item.ContourData = [f"{n:.8f}" for n in points.ravel()]
    reference = Dataset()
    reference.ReferencedSOPClassUID = source.slices[0].SOPClassUID
    k = min(max(round(corners[0][2]), 0), len(source.slices) - 1)
    reference.ReferencedSOPInstanceUID = source.slices[k].SOPInstanceUID
    item.ContourImageSequence = [reference]
    return item


def write_structure_set(
    path: Path,
    source: DicomImage,
    regions: dict[str, list[Dataset]],
    change: Callable[[Dataset], None] = lambda dataset: None,
) -> None:
    """Write a structure set as PS3.3, sections C.8.8.5 and C.8.8.6, describe it."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = RTStructureSetStorage, "1.2.3.9.1"
    dataset.SeriesInstanceUID, dataset.Modality = "1.2.3.9", "RTSTRUCT"
    dataset.PatientName, dataset.PatientID = f"{SECRETS[1]}^{SECRETS[0]}", SECRETS[2]
    frame, study, series = Dataset(), Dataset(), Dataset()
    frame.FrameOfReferenceUID = source.slices[0].FrameOfReferenceUID
    series.SeriesInstanceUID = source.slices[0].SeriesInstanceUID
    study.RTReferencedSeriesSequence = [series]
    frame.RTReferencedStudySequence = [study]
    dataset.ReferencedFrameOfReferenceSequence = [frame]
    dataset.StructureSetROISequence, dataset.ROIContourSequence = [], []
    for number, (name, contours) in enumerate(regions.items(), start=4):
        roi, drawn = Dataset(), Dataset()
        roi.ROINumber, roi.ROIName = number, name
        roi.ReferencedFrameOfReferenceUID = frame.FrameOfReferenceUID
        drawn.ReferencedROINumber, drawn.ContourSequence = number, contours
        dataset.StructureSetROISequence.append(roi)
        dataset.ROIContourSequence.insert(0, drawn)  # in no order
    change(dataset)
    dataset.save_as(path, enforce_file_format=True)
