"""Survey all files of an import and choose its conversion, before it writes."""

import logging
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from segpipe.dataset.description import NIFTI, Description, Values
from segpipe.images.formats import raster, slicer
from segpipe.images.formats.colours import is_picture
from segpipe.images.volume import Image
from segpipe.project.errors import DataError
from segpipe.project.progress import track
from segpipe.tools.importing.conversion import (
    Conversion,
    ImportOptions,
    drop_redundant_channels,
    grid_with_spacing,
    read_raw_image,
)
from segpipe.tools.importing.finding.sources import RawCases
from segpipe.tools.importing.surveying.structures import choose_labels

UNNAMED = re.compile(r"segment[_ ]?\d*", re.IGNORECASE)  # what 3D Slicer makes up
log = logging.getLogger(__name__)
COLOURS = {3: ("red", "green", "blue"), 4: ("red", "green", "blue", "alpha")}


def choose_conversion(
    raw: RawCases, options: ImportOptions, existing: Description | None
) -> Conversion:
    """Choose the conversion after reading all label maps, and images where needed.

    Args:
        raw: The cases to import.
        options: Options of the command line.
        existing: Description of the data set that the cases join, if any.

    Raises:
        DataError: If the files contradict each other, the options or the data set.
    """
    if existing:
        _check_same_names(raw, existing)
    first = raw.cases[0]
    image = read_raw_image(first.images[0], options)
    spacing_mm = _choose_spacing(image, first.images[0], raw, options, existing)
    choice = choose_labels(raw, options, existing)
    if not choice.rules.named:
        _check_names(raw, options, choice.labels)
    _warn_of_spacing(first.images[0], image, spacing_mm)
    ending = _choose_ending(raw, image, choice.values, existing)
    named = existing.channel_names if existing else {}
    channels = (
        tuple(named[str(n)] for n in range(len(named)))
        or options.channels
        or raw.channels
    )
    keep_alpha, coloured = len(channels) in (2, 4), False
    if not channels:
        keep_alpha, coloured = _survey_colours(raw, options)
    images = [read_raw_image(file, options) for file in first.images]
    count = len(first.missing) + sum(
        len(drop_redundant_channels(part.array, keep_alpha, options)) for part in images
    )
    _refuse_gaps(raw, ending)
    return Conversion(
        options=options,
        ending=ending,
        channels=channels or _default_channels(3 if coloured else count),
        labels=choice.labels,
        ignore=choice.ignore,
        spacing_mm=spacing_mm,
        unit=grid_with_spacing(image.grid, spacing_mm).unit,
        keep_alpha=keep_alpha,
        rules=choice.rules,
        regions_class_order=choice.order,
    )


def _refuse_gaps(raw: RawCases, ending: str) -> None:
    """Refuse cases that lack a channel where one file may hold several channels.

    Raises:
        DataError: If there is one, and the data are no NIfTI.
    """
    lacking = [case for case in raw.cases if case.missing]
    if lacking and ending not in NIFTI:
        raise DataError(
            f"{lacking[0].images[0]}: expected a file of each channel, as the images "
            f"become {ending}, found {len(lacking[0].images)}; add the others, or move "
            f"the case {lacking[0].name} out: NIfTI alone may lack channels"
        )


def _check_same_names(raw: RawCases, existing: Description) -> None:
    """Check that no name in the source has another number in the data to add to."""
    place = f"{raw.folder}/dataset.json"
    old = {name: int(n) for n, name in existing.channel_names.items()}
    if raw.labels and raw.regions_class_order != existing.regions_class_order:
        raise DataError(
            f"{place}: expected the regions_class_order of the data to add to, "
            f"{_shown(existing.regions_class_order)}, found "
            f"{_shown(raw.regions_class_order)}; give both the same structures"
        )
    pairs: tuple[tuple[str, Mapping[str, Values], Mapping[str, Values]], ...] = (
        ("channel", {name: n for n, name in enumerate(raw.channels)}, old),
        ("value", raw.labels or {}, existing.labels),
    )
    for kind, new, known in pairs:
        for name, number in new.items():
            if known.get(name, number) != number:
                raise DataError(
                    f"{place}: expected {name!r} as {kind} {known[name]}, as in the "
                    f"data to add to, found {number}; give the new files the {kind}s "
                    "of the data"
                )


def _shown(order: tuple[int, ...] | None) -> str:
    return "none" if order is None else str(list(order))


def _warn_of_spacing(
    path: Path, image: Image, spacing_mm: tuple[float, ...] | None
) -> None:
    """Warn if the first image states another spacing than is used."""
    if image.grid.unit == "px" and path.name.lower().endswith(raster.SUFFIXES):
        words = raster.spacing_warning(path, spacing_mm)
        if words:
            log.warning("%s", words)


def _check_names(
    raw: RawCases, options: ImportOptions, labels: Mapping[str, Values]
) -> None:
    """Check names of segments in headers against the labels, and against each other."""
    if options.instances:
        return
    seen: dict[str, tuple[int, Path]] = {}
    single = {name: value for name, value in labels.items() if isinstance(value, int)}
    for case in raw.cases:
        slicer.check_segment_names(case.label, single)
        for value, name in slicer.read_segment_names(case.label).items():
            before, file = seen.setdefault(name.casefold(), (value, case.label))
            if before != value and not UNNAMED.fullmatch(name):
                raise DataError(
                    f"{case.label}: expected {name!r} as {before}, as the header of "
                    f"{file} names it, found {value}; give the segments the same "
                    "values in all cases (export them with one colour table in 3D "
                    "Slicer)"
                )


def _choose_spacing(
    image: Image,
    path: Path,
    raw: RawCases,
    options: ImportOptions,
    existing: Description | None,
) -> tuple[float, ...] | None:
    wanted = options.spacing_mm or raw.spacing_mm
    if wanted is None:
        return existing.spacing_mm if existing else None
    if image.grid.unit == "mm":
        raise DataError(
            f"{path}: expected no spacing of its own beside --spacing-mm, found "
            f"{image.grid.spacing}; leave the option out"
        )
    axes = 3 if image.grid.shape[2] > 1 else 2
    if len(wanted) != axes or not all(0 < size < np.inf for size in wanted):
        raise DataError(
            f"--spacing-mm {' '.join(map(str, wanted))}: expected {axes} lengths above "
            f"0 for {path}, whose shape is {image.grid.shape}"
        )
    if existing and axes == 2 and existing.spacing_mm != wanted:
        raise DataError(
            f"{path}: expected the spacing_mm of the data to add to, "
            f"{existing.spacing_mm}, found {wanted}; one data set has one spacing_mm"
        )
    return wanted


def _choose_ending(
    raw: RawCases,
    image: Image,
    values: dict[int, Path],
    existing: Description | None,
) -> str:
    """One ending for all files: NIfTI for volumes, else PNG if it stores all labels."""
    names = [file.name.lower() for case in raw.cases for file in case.images]
    names += [case.label.name.lower() for case in raw.cases]
    if image.grid.shape[2] > 1 or not names[0].endswith(raster.SUFFIXES):
        plain_nii = all(name.endswith(".nii") for name in names)
        ending = ".nii" if plain_nii else ".nii.gz"
    else:
        tiff = any(name.endswith((".tif", ".tiff")) for name in names)
        ending = ".tif" if tiff or min(values) < 0 or max(values) > 65535 else ".png"
    if existing is None:
        return ending
    if (existing.file_ending in NIFTI) != (ending in NIFTI):
        raise DataError(
            f"{raw.cases[0].images[0]}: expected images as in the data to add to "
            f"({existing.file_ending}), found images that become {ending}; a data "
            "set is NIfTI, PNG or TIFF, not a mixture"
        )
    return existing.file_ending


def _survey_colours(raw: RawCases, options: ImportOptions) -> tuple[bool, bool]:
    """Look at the channels of all pictures.

    Returns:
        Whether the last of two or four channels varies in any; and, if none does,
        whether any picture has colours, which all become then.
    """
    files = [file for case in raw.cases for file in case.images]
    if not is_picture(files[0]):
        return True, False  # no colours: all channels count
    single = len(files) == len(raw.cases)
    coloured = False
    for file in track(files, "look at images", total=len(files), unit="file"):
        array = read_raw_image(file, options).array
        if len(array) in (2, 4) and array[-1].min() < array[-1].max():
            return True, False
        coloured |= len(array) in (3, 4)
    return False, coloured and single and not options.grey


def _default_channels(count: int) -> tuple[str, ...]:
    if count == 1:
        return ("intensity",)
    return COLOURS.get(count) or tuple(f"channel_{n}" for n in range(1, count + 1))
