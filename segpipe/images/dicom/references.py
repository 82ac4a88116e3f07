"""What a DICOM label was drawn on: the UIDs of series and images that it names."""

from dataclasses import dataclass
from pathlib import Path

from segpipe.images.dicom.file import items_of, read_header, value_of

# Sequences within sequences that lead to a reference: PS3.3, sections C.8.8.5 and
# C.8.8.6 (RTSTRUCT), C.12.1.1 and C.7.6.16 (SEG).
RTSTRUCT_SERIES = (
    "ReferencedFrameOfReferenceSequence",
    "RTReferencedStudySequence",
    "RTReferencedSeriesSequence",
)
SERIES = (("ReferencedSeriesSequence",), RTSTRUCT_SERIES)
SOURCE_IMAGE = ("DerivationImageSequence", "SourceImageSequence")
INSTANCES = (
    ("ROIContourSequence", "ContourSequence", "ContourImageSequence"),
    ("SharedFunctionalGroupsSequence", *SOURCE_IMAGE),
    ("PerFrameFunctionalGroupsSequence", *SOURCE_IMAGE),
)


@dataclass(frozen=True)
class References:
    """The images that a segmentation or structure set names.

    Attributes:
        series: SeriesInstanceUID of each series.
        instances: SOPInstanceUID of each image that a frame or a contour lies on.
    """

    series: frozenset[str]
    instances: frozenset[str]


def read_references(path: Path) -> References:
    """Read what a segmentation or structure set names, without its pixels.

    Raises:
        DataError: If the header is damaged.
    """
    header = read_header(path)

    def uids(sequences: tuple[tuple[str, ...], ...], keyword: str) -> frozenset[str]:
        return frozenset(
            str(value_of(path, item, keyword))
            for sequence in sequences
            for item in items_of(path, header, *sequence)
        )

    return References(
        series=uids(SERIES, "SeriesInstanceUID"),
        instances=uids(INSTANCES, "ReferencedSOPInstanceUID"),
    )
