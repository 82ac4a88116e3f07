"""Choose the conversion of DICOM from options, headers and existing data."""

from pathlib import Path

from segpipe.dataset.description import NIFTI, RESERVED, Description
from segpipe.images.dicom.seg.reading import SegLabels
from segpipe.project.errors import DataError
from segpipe.tools.importing.conversion import Conversion, ImportOptions
from segpipe.tools.importing.dicom.pairing import LabelledSeries
from segpipe.tools.importing.reading.labels import LabelRules
from segpipe.tools.importing.reading.vocabulary import (
    BACKGROUND,
    REST,
    Source,
    are_united,
    sources_of,
    values_of,
)


def refuse_options(options: ImportOptions) -> None:
    """Refuse options that have no meaning for DICOM.

    Raises:
        DataError: If one is set.
    """
    default = ImportOptions()
    reasons = {
        "binarize": "segments and contours are no grey values",
        "overlap": "segments that overlap are imported one by one",
        "reference": "two drawings of one structure are refused",
        "spacing_mm": "DICOM carries its own spacing",
        "instances": "segments and contours are structures, not instance ids",
        "ignore": "segments and contours cannot mark what is not annotated",
        "grey": "DICOM images are read in one channel",
        "image_key": "it names a data set of HDF5 files",
        "label_key": "it names a data set of HDF5 files",
        "channel_suffixes": "series are told apart by their headers, not their names",
        "label_suffix": "labels are told apart by their headers, not their names",
        "patients": "patients are told apart by PatientID",
        "patient_pattern": "patients are told apart by PatientID",
    }
    for field, reason in reasons.items():
        if getattr(options, field) != getattr(default, field):
            option = "--" + field.replace("_", "-").replace("suffixes", "suffix")
            raise DataError(
                f"{option}: expected none for DICOM, found one: {reason}; leave it out"
            )
    pairs = options.structures.items()
    rest = [n for n, of in pairs if isinstance(of, tuple) and REST in of]
    if are_united(options.structures) or any(n != BACKGROUND for n in rest):
        raise DataError(
            "--structure: expected each segment or contour in one structure for DICOM, "
            "found one twice, or * for the rest; name them, or convert them to label "
            "maps first"
        )
    if len(options.channels) > 1:
        raise DataError(
            f"--channel: expected one name for DICOM, found "
            f"{', '.join(options.channels)}; a series is one channel"
        )


def choose_dicom(
    pairs: list[LabelledSeries],
    options: ImportOptions,
    data: Path,
    existing: Description | None,
) -> Conversion:
    """Choose the conversion; its labels are the structures with known values.

    Raises:
        DataError: If the modalities differ, or if the options or the existing data
            contradict them.
    """
    known = _known_structures(options, existing)
    return Conversion(
        options=options,
        ending=_choose_ending(data, existing),
        channels=(_choose_channel(pairs, options, existing),),
        labels={"background": 0, **known},
        ignore=existing.ignore if existing else None,
        spacing_mm=None,
        unit="mm",
        keep_alpha=True,
        rules=LabelRules(sources=_sources(options, known), named=True),
    )


def _sources(options: ImportOptions, known: dict[str, int]) -> dict[Source, int]:
    """The value in data/ of each name that labels may have; empty for any name."""
    chosen = sources_of(options.structures, known, named=True)
    return chosen or dict(known.items())


def _known_structures(
    options: ImportOptions, existing: Description | None
) -> dict[str, int]:
    """The value of each structure in the options or the existing data; else empty."""
    values = values_of(
        options.structures,
        named=True,
        declared=existing.single if existing else None,
    )
    given = {n: v for n, v in options.structures.items() if isinstance(v, int)}
    for name, value in {**values, **given}.items():
        if name in RESERVED or value == 0:
            raise DataError(
                f"--structure {name}={value}: expected the name of a structure and a "
                "value other than 0, found what means background or not annotated"
            )
    if existing is None:
        return values
    if existing.regions_class_order is not None:
        raise DataError(
            "--add: expected data whose structures do not overlap beside DICOM, found "
            f"regions ({', '.join(existing.structures)}); convert the segmentations to "
            "label maps and import these"
        )
    known = {n: value for n, value in existing.single.items() if n not in RESERVED}
    if values not in ({}, known):
        raise DataError(
            "--structure: expected none beside --add, found "
            f"{', '.join(options.structures)}; the existing data name the values"
        )
    return known


def _choose_channel(
    pairs: list[LabelledSeries], options: ImportOptions, existing: Description | None
) -> str:
    """The channel: its name in the options, or else the modality of all series."""
    modalities = {pair.images.modality: pair.images.files[0] for pair in pairs}
    if len(modalities) > 1:
        found = ", ".join(f"{kind} ({path})" for kind, path in modalities.items())
        raise DataError(
            f"{pairs[0].images.files[0]}: expected one modality, found {found}; import "
            "the series of each into a project of its own"
        )
    (channel,) = options.channels or modalities
    if existing and list(existing.channel_names.values()) != [channel]:
        raise DataError(
            f"{pairs[0].images.files[0]}: expected the channels of the data to add to, "
            f"{', '.join(existing.channel_names.values())}, found {channel}; if they "
            "are the same, give --channel NAME"
        )
    return channel


def _choose_ending(data: Path, existing: Description | None) -> str:
    """The ending of all files: as in the existing data, or else .nii.gz."""
    if existing is None:
        return ".nii.gz"
    if existing.file_ending not in NIFTI or existing.true_unit != "mm":
        raise DataError(
            f"{data}: expected NIfTI in mm to add DICOM to, found "
            f"{existing.file_ending} in {existing.true_unit}; import the series into a "
            "project of its own"
        )
    return existing.file_ending


def refuse_names(
    paths: tuple[Path, ...], labels: SegLabels, known: dict[str, int]
) -> None:
    """Refuse reserved names, and labels that hold none of the known structures.

    Raises:
        DataError: If there are such names, if no structure is known, or if one that is
            left out is spelt almost as a known one.
    """
    where = ", ".join(map(str, paths))
    reserved = [name for name in labels.structures if name in RESERVED]
    if reserved:
        raise DataError(
            f"{where}: expected names of structures, found {reserved[0]!r}, which "
            "dataset.json reserves; rename it, or export without it"
        )
    alike = {name.strip().casefold(): name for name in known}
    for name in labels.left_out:
        if other := alike.get(name.strip().casefold()):
            raise DataError(
                f"{where}: expected the structure {other!r}, found {name!r}; name it "
                f"with --structure as well if it is another, or rename it to {other!r}"
            )
    if known and not labels.structures:
        raise DataError(
            f"{where}: expected the structures {', '.join(known)}, found "
            f"{', '.join(map(repr, labels.left_out))}; name one with --structure "
            "NAME=VALUE, or leave the series out"
        )
