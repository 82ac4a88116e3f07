"""One DICOM file: its header and its pixels, with errors that name no patient."""

import logging
import re
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped
from pydicom import Dataset, dcmread
from pydicom.config import disable_value_validation
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.utils import pixel_array
from pydicom.uid import UID

from segpipe.images.contract import check_promise
from segpipe.images.dicom.deflated import (
    MAGIC,
    is_deflated,
    promised_bytes,
    read_deflated,
)
from segpipe.images.dicom.jpeg import CHECKED_SYNTAXES, jpeg_fault
from segpipe.project.errors import DataError

WORD = re.compile(r"[A-Z0-9_ ]{0,16}|[0-9.]{1,64}")  # CS or UI: PS3.5, section 6.2
QUIET = logging.CRITICAL + 1  # the level of pydicom's logger while it is silenced
QUOTED = re.compile(r"'[^']*'?|\"[^\"]*\"?")
# What pydicom and its decoders raise on damaged files. Their messages may quote the
# header with the patient's name: our errors keep only the type.
HEADER_FAULTS = (
    InvalidDicomError,
    BytesLengthException,
    AttributeError,
    KeyError,
    IndexError,
    TypeError,
    ValueError,
    OverflowError,
    NotImplementedError,
    EOFError,
    OSError,
    RecursionError,  # sequences within sequences, thousands deep
    struct.error,
    zlib.error,
)
PIXEL_FAULTS = (*HEADER_FAULTS, RuntimeError)
# Sequences in which a multi-frame object stores what a single-frame one has at its
# root: PS3.3, sections C.7.6.16 and C.8.20.3.
MACROS = {
    "ImagePositionPatient": "PlanePositionSequence",
    "ImageOrientationPatient": "PlaneOrientationSequence",
    "PixelSpacing": "PixelMeasuresSequence",
    "SliceThickness": "PixelMeasuresSequence",
    "SpacingBetweenSlices": "PixelMeasuresSequence",
    "RescaleSlope": "PixelValueTransformationSequence",
    "RescaleIntercept": "PixelValueTransformationSequence",
    "ReferencedSegmentNumber": "SegmentIdentificationSequence",
    "EffectiveEchoTime": "MREchoSequence",
    "DiffusionBValue": "MRDiffusionSequence",
    "TemporalPositionIndex": "FrameContentSequence",
    "StackID": "FrameContentSequence",
    "NominalCardiacTriggerDelayTime": "CardiacSynchronizationSequence",
}


@contextmanager
def quiet() -> Iterator[None]:
    """Silence pydicom's warnings, which quote values such as a patient's name."""
    logger = logging.getLogger("pydicom")
    level = logger.level
    if level == QUIET:  # within another: setting it up again takes half of the time
        yield
        return
    with warnings.catch_warnings(), disable_value_validation():
        warnings.simplefilter("ignore")
        logger.setLevel(QUIET)
        try:
            yield
        finally:
            logger.setLevel(level)


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM, by its magic bytes or by the ending .dcm."""
    if not path.is_file():
        return False
    place, magic = MAGIC
    with path.open("rb") as file:
        file.seek(place)
        return file.read(len(magic)) == magic or path.suffix.lower() == ".dcm"


def path_of(header: Dataset) -> Path:
    """The file that a header was read from."""
    return Path(str(header.filename))


@quiet()
def read_header(path: Path, tags: list[str] | None = None) -> Dataset:
    """Read all of a header, without the pixels, or only the tags of these keywords.

    Raises:
        DataError: If the file is not DICOM, or its header is damaged.
    """
    return _read(path, pixels=False, tags=tags)


@quiet()
def read_dataset(path: Path) -> Dataset:
    """Read the whole file, without decoding its pixels.

    Raises:
        DataError: If the file is not DICOM, or damaged.
    """
    return _read(path, pixels=True, tags=None)


def _read(path: Path, *, pixels: bool, tags: list[str] | None) -> Dataset:
    if not path.is_file():
        raise DataError(f"{path}: expected a DICOM file, found none; correct the path")
    try:
        if is_deflated(path):
            return read_deflated(path, pixels=pixels, tags=tags)
        return dcmread(
            path, stop_before_pixels=not pixels, specific_tags=list(tags or []) or None
        )
    except (DataError, PermissionError):
        raise
    except InvalidDicomError as error:
        raise DataError(
            f"{path}: expected a DICOM file, found no DICM after 128 bytes; export it "
            "again as a DICOM file of part 10, or leave the file out"
        ) from error
    except HEADER_FAULTS as error:
        raise DataError(
            f"{path}: expected a whole DICOM file, found damage "
            f"({type(error).__name__}); fetch it again from its source"
        ) from None


@quiet()
def value_of(path: Path, dataset: Dataset, keyword: str) -> Any:
    """A value of the header; None if it is missing or empty.

    Raises:
        DataError: If the value cannot be decoded.
    """
    try:
        value = dataset.get(keyword)
    except HEADER_FAULTS as error:
        raise DataError(
            f"{path}: expected a readable {keyword}, found damage "
            f"({type(error).__name__}); correct the tag or export the file again"
        ) from None
    if value is None or (hasattr(value, "__len__") and len(value) == 0):
        return None
    return value


def text_of(path: Path, dataset: Dataset, keyword: str) -> str:
    """A value of the header as text.

    Raises:
        DataError: If it is missing or damaged.
    """
    value = value_of(path, dataset, keyword)
    if value is None:
        raise missing_tag(path, keyword)
    return str(value)


def word_of(path: Path, dataset: Dataset, keyword: str) -> str:
    """A code or UID that an error may quote, because it cannot hold a patient's name.

    Returns:
        The word; empty if it is missing, "a damaged word" if it is no code or UID.
    """
    return word_in(value_of(path, dataset, keyword) or "")


def word_in(value: Any) -> str:
    """A value as text if it is a code, a UID or a number, else "a damaged word"."""
    words = [str(value)] if isinstance(value, str) else np.atleast_1d(value).tolist()
    text = [str(word) for word in words]
    return "/".join(text) if all(map(WORD.fullmatch, text)) else "a damaged word"


def numbers_of(path: Path, value: Any, keyword: str, count: int) -> tuple[float, ...]:
    """A value of the header as that many finite numbers.

    Raises:
        DataError: If the count differs, or a value is no finite number.
    """
    try:
        numbers = np.atleast_1d(np.asarray(value, np.float64))
    except (TypeError, ValueError):
        numbers = np.empty(0)
    if numbers.shape != (count,) or not np.isfinite(numbers).all():
        found = (
            numbers[:6].tolist() or "none"
        )  # never the text: it could name the patient
        raise DataError(
            f"{path}: expected {count} finite numbers in {keyword}, found {found}; "
            "correct the tag or export the file again"
        )
    return tuple(numbers.tolist())


def number_of(path: Path, dataset: Dataset, keyword: str) -> float:
    """A value of the header as one finite number.

    Raises:
        DataError: If it is missing, not one number, or not finite.
    """
    return numbers_of(path, value_of(path, dataset, keyword), keyword, 1)[0]


def items_of(path: Path, dataset: Dataset, *keywords: str) -> list[Dataset]:
    """The items of a sequence, or of a sequence in the items of other sequences."""
    items = [dataset]
    for keyword in keywords:
        items = [
            inner for item in items for inner in value_of(path, item, keyword) or ()
        ]
    return items


def missing_tag(path: Path, keyword: str) -> DataError:
    """The error for a missing tag."""
    return DataError(
        f"{path}: expected {keyword}, found none; export the file again with all of "
        "its header"
    )


def frame_value(path: Path, dataset: Dataset, frame: int | None, keyword: str) -> Any:
    """A value of one frame: from its own functional group, or else from the shared one.

    Args:
        path: The file, for the error.
        dataset: The header.
        frame: Number of the frame from 0; None in a single-frame object.
        keyword: One of MACROS.
    """
    if frame is None:
        return value_of(path, dataset, keyword)
    own = value_of(path, dataset, "PerFrameFunctionalGroupsSequence")
    shared = value_of(path, dataset, "SharedFunctionalGroupsSequence")
    for group in ([own[frame]] if own else []) + ([shared[0]] if shared else []):
        macro = value_of(path, group, MACROS[keyword])
        value = value_of(path, macro[0], keyword) if macro else None
        if value is not None:
            return value
    return None


def frames_of(path: Path, dataset: Dataset) -> list[int | None]:
    """The numbers of an object's frames; one None if it has a single frame.

    Raises:
        DataError: If the header does not give the place of each frame, as in a cine.
    """
    groups = value_of(path, dataset, "PerFrameFunctionalGroupsSequence")
    value = value_of(path, dataset, "NumberOfFrames")
    count = int(numbers_of(path, 1 if value is None else value, "NumberOfFrames", 1)[0])
    if groups is None and count == 1:
        return [None]
    if groups is None or len(groups) != count:
        uid = UID(text_of(path, dataset, "SOPClassUID"))
        kind = uid.name if uid.type else "unknown kind of object"
        raise DataError(
            f"{path}: expected a place for each of {count} frames, found "
            f"{len(groups or [])} functional groups ({kind}); export the volume as "
            "one file a slice"
        )
    return list(range(count))


@quiet()
def pixels_of(path: Path, dataset: Dataset) -> Shaped[np.ndarray, "frame row column"]:
    """The stored values, decompressed and not rescaled.

    Raises:
        DataError: If they are coloured, cut off or damaged, or if no installed decoder
            can decompress them.
    """
    samples = value_of(path, dataset, "SamplesPerPixel")
    if samples is not None and samples != 1:
        raise DataError(
            f"{path}: expected one value a pixel, found {samples} (colour); export "
            "the measured values, not a screenshot"
        )
    meaning = word_of(path, dataset, "PhotometricInterpretation")
    if meaning == "PALETTE COLOR":
        raise DataError(
            f"{path}: expected measured values, found numbers of colours in a palette; "
            "export the measured values, not a screenshot"
        )
    syntax = value_of(path, dataset.file_meta, "TransferSyntaxUID")
    if syntax is None:
        raise missing_tag(path, "TransferSyntaxUID")
    plugin = _decoder_of(path, UID(syntax))
    try:
        if plugin:
            check_promise(path, promised_bytes(dataset), len(dataset.PixelData))
        fault = jpeg_fault(dataset) if syntax in CHECKED_SYNTAXES else None
        array = np.zeros(0) if fault else pixel_array(dataset, decoding_plugin=plugin)
    except DataError:
        raise
    except PIXEL_FAULTS as error:
        words = QUOTED.sub("...", str(error)).split("\n")[0]
        fault = words or type(error).__name__
    if fault:
        raise DataError(
            f"{path}: expected whole pixel data ({UID(syntax).name}), found {fault}; "
            "fetch the file again from its source"
        )
    return array[None] if array.ndim == 2 else array


def _decoder_of(path: Path, syntax: UID) -> str:
    """The plugin that decodes a transfer syntax; empty if it is not compressed.

    gdcm is the last choice: on damaged data it may end the process.
    """
    try:
        if not syntax.is_encapsulated:
            return ""
        plugins = get_decoder(syntax).available_plugins
    except (NotImplementedError, ValueError):
        plugins = ()
    if not plugins:
        raise DataError(
            f"{path}: expected a transfer syntax that can be decoded, found "
            f"{syntax.name if syntax.type else 'an unknown one'}; convert the file to "
            "Explicit VR Little Endian, as with gdcmconv --raw"
        )
    return min(plugins, key=lambda plugin: plugin == "gdcm")
