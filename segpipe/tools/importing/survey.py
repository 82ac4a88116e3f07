"""Choosing: looks at all files of an import before anything is written."""

from pathlib import Path

import numpy as np
from tqdm import tqdm

from segpipe.dataset.description import NIFTI, Description
from segpipe.images.formats import raster
from segpipe.images.volume import Image
from segpipe.project.errors import DataError
from segpipe.tools.importing.conversion import (
    Conversion,
    ImportOptions,
    placed_grid,
    plain,
    read_raw_image,
    read_raw_label,
)
from segpipe.tools.importing.sources import RawCases

# More different values than this are instances or a measurement, but no structures.
MOST_STRUCTURES = 200
COLOURS = {3: ("red", "green", "blue"), 4: ("red", "green", "blue", "alpha")}


def choose_conversion(
    sources: RawCases, options: ImportOptions, existing: Description | None
) -> Conversion:
    """Look at all label maps, and at what images may hide, before anything is written.

    Args:
        sources: The cases.
        options: What the user said.
        existing: Of the data set that the cases are to join.

    Raises:
        DataError: If the files contradict each other, the options or the data set.
    """
    first = sources.cases[0]
    image = read_raw_image(first.images[0], options)
    spacing_mm = _choose_spacing(image, first.images[0], sources, options, existing)
    values = _survey_labels(sources, options)
    labels, ignore = _choose_labels(sources, options, existing, values)
    ending = _choose_ending(sources, image, values, existing)
    named = existing.channel_names if existing else {}
    channels = (
        tuple(named[str(n)] for n in range(len(named)))
        or options.channels
        or sources.channels
    )
    keep_alpha = (
        len(channels) in (2, 4) if channels else _survey_alpha(sources, options)
    )
    images = [read_raw_image(file, options) for file in first.images]
    count = sum(len(plain(part.array, keep_alpha, options)) for part in images)
    return Conversion(
        options=options,
        ending=ending,
        channels=channels or _default_channels(count),
        labels=labels,
        ignore=ignore,
        spacing_mm=spacing_mm,
        unit=placed_grid(image.grid, spacing_mm).unit,
        keep_alpha=keep_alpha,
    )


def _choose_spacing(
    image: Image,
    path: Path,
    sources: RawCases,
    options: ImportOptions,
    existing: Description | None,
) -> tuple[float, ...] | None:
    wanted = options.spacing_mm or sources.spacing_mm
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
    sources: RawCases,
    image: Image,
    values: dict[int, Path],
    existing: Description | None,
) -> str:
    """One ending for all files: NIfTI for volumes, else PNG if it holds all labels."""
    names = [file.name.lower() for case in sources.cases for file in case.images]
    names += [case.label.name.lower() for case in sources.cases]
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
            f"{sources.cases[0].images[0]}: expected images as in the data to add to "
            f"({existing.file_ending}), found images that become {ending}; one data "
            "set is either NIfTI or PNG or TIFF"
        )
    return existing.file_ending


def _choose_labels(
    sources: RawCases,
    options: ImportOptions,
    existing: Description | None,
    values: dict[int, Path],
) -> tuple[dict[str, int], int | None]:
    """Structure name to value, and the value of ignore."""
    declared = existing.labels if existing else sources.labels
    ignore = options.ignore
    if declared is not None:
        if options.structures or ignore not in (None, declared.get("ignore")):
            raise DataError(
                f"{sources.cases[0].label}: expected the labels that dataset.json "
                f"declares, found --structure or --ignore as well; leave them out"
            )
        labels = {name: value for name, value in declared.items() if name != "ignore"}
        ignore = declared.get("ignore")
    elif options.structures:
        labels = {"background": 0, **options.structures}
    elif options.instances:
        labels = {"background": 0, "structure_1": 1}
    else:
        found = sorted(set(values) - {0, ignore})
        labels = {"background": 0} | {f"structure_{value}": value for value in found}
    if options.instances:
        if len(labels) != 2:
            raise DataError(
                f"--instances: expected one structure, found {', '.join(labels)}; "
                "instance ids of several structures cannot be told apart"
            )
        return labels, ignore
    strange = sorted(set(values) - {*labels.values(), ignore})
    if strange:
        found_in = ", ".join(f"{value} in {values[value]}" for value in strange[:8])
        raise DataError(
            f"labels: expected {', '.join(f'{k} {v}' for k, v in labels.items())}, "
            f"found {found_in}; name each with --structure NAME=VALUE, or mend the maps"
        )
    return labels, ignore


def _survey_alpha(sources: RawCases, options: ImportOptions) -> bool:
    """Whether in any image the last of two or four channels varies."""
    files = [file for case in sources.cases for file in case.images]
    if not files[0].name.lower().endswith(raster.SUFFIXES):
        return True  # no colours: all channels count
    for file in tqdm(files, desc="look at images", unit="file", disable=None):
        array = read_raw_image(file, options).array
        if len(array) in (2, 4) and array[-1].min() < array[-1].max():
            return True
    return False


def _default_channels(count: int) -> tuple[str, ...]:
    if count == 1:
        return ("intensity",)
    return COLOURS.get(count) or tuple(f"channel_{n}" for n in range(1, count + 1))


def _survey_labels(sources: RawCases, options: ImportOptions) -> dict[int, Path]:
    """Each value (of instances the extremes), and a file in which it was seen."""
    seen: dict[int, Path] = {}
    for case in tqdm(sources.cases, desc="look at labels", unit="file", disable=None):
        array = read_raw_label(case.label, options).array
        found = [array.min(), array.max()] if options.instances else np.unique(array)
        for value in found:
            seen.setdefault(int(value), case.label)
        if options.instances and array[array != options.ignore].min(initial=0) < 0:
            raise DataError(
                f"{case.label}: expected instance ids from 1 and 0 for none, found "
                f"{int(array.min())}; if that means not annotated, say --ignore"
            )
        if not options.instances and len(seen) > MOST_STRUCTURES:
            raise DataError(
                f"{case.label}: expected structures, found more than {MOST_STRUCTURES} "
                "values so far; if they are instance ids, say --instances"
            )
    return seen
