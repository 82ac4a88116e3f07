"""What a DICOM-SEG copies from its image, and how it refers to the image."""

import copy
import hashlib
import uuid

from pydicom import Dataset
from pydicom.uid import UID

from segpipe.images.dicom.file import path_of, value_of
from segpipe.images.dicom.stack import Stack

# What highdicom needs of the image. The patient is left out, because highdicom quotes
# the name in its log; copy_patient adds it afterwards.
SOURCE = (
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "FrameOfReferenceUID",
    "PositionReferenceIndicator",
    "Modality",
    "ImageType",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SliceThickness",
    "LossyImageCompression",
    "LossyImageCompressionRatio",
    "LossyImageCompressionMethod",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
)
BLANK = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
)
PATIENT_AND_STUDY = (
    *BLANK,
    "IssuerOfPatientID",
    "PatientBirthTime",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "DeidentificationMethodCodeSequence",
    "StudyDescription",
)


def reference_of(header: Dataset, stack: Stack) -> Dataset:
    """The header of a slice for highdicom, with the spacing of the positions."""
    path = path_of(header)
    shown = Dataset()
    for keyword in SOURCE:
        value = value_of(path, header, keyword)
        if value is not None:
            setattr(shown, keyword, copy.deepcopy(value))
    for keyword in BLANK:
        setattr(shown, keyword, "")
    if "PerFrameFunctionalGroupsSequence" not in shown:
        shown.pop("NumberOfFrames", None)  # 1, which highdicom takes for several
    if "FrameOfReferenceUID" not in shown:
        shown.FrameOfReferenceUID = derived_uid(
            "frame", str(shown.get("SeriesInstanceUID"))
        )
    first = stack.planes[0]
    measures = shown
    if "SharedFunctionalGroupsSequence" in shown:
        shared = shown.SharedFunctionalGroupsSequence[0]
        shared.PlaneOrientationSequence = [Dataset()]
        shared.PlaneOrientationSequence[0].ImageOrientationPatient = cosines_of(stack)
        shared.PixelMeasuresSequence = [Dataset()]
        measures = shared.PixelMeasuresSequence[0]
    else:
        shown.ImageOrientationPatient = cosines_of(stack)
    gap = stack.grid.spacing[2]
    measures.PixelSpacing = [decimal_of(n) for n in reversed(first.spacing)]
    measures.SliceThickness = decimal_of(first.thickness or gap)
    measures.SpacingBetweenSlices = decimal_of(gap)
    return shown


def decimal_of(number: float) -> str:
    """A decimal string (DS), which has at most 16 characters."""
    return f"{number:.10g}"


def cosines_of(stack: Stack) -> list[str]:
    """ImageOrientationPatient of all slices."""
    first = stack.planes[0]
    return [f"{cosine:.12f}"[:16] for cosine in (*first.along_i, *first.along_j)]


def copy_patient(seg: Dataset, header: Dataset) -> None:
    """Copy patient and study from the header of the image."""
    path = path_of(header)
    for keyword in PATIENT_AND_STUDY:
        value = value_of(path, header, keyword)
        if value is not None:
            setattr(seg, keyword, copy.deepcopy(value))


def derived_uid(*words: str) -> UID:
    """A UID that is a function of the words: PS3.5, section B.2 (2.25.UUID)."""
    digest = hashlib.sha256("\0".join(words).encode()).digest()
    return UID(f"2.25.{uuid.UUID(bytes=digest[:16], version=5).int}")
