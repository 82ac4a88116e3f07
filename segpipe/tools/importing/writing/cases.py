"""Write the files of one case, and tell whether the data hold it already."""

import filecmp
import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from itertools import count, takewhile
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from segpipe.dataset.description import NIFTI
from segpipe.dataset.layout import CaseFiles, Dataset
from segpipe.images.contract import check_axial, check_varies
from segpipe.images.formats import nifti, raster
from segpipe.images.formats.files import read_image, read_label, write_label
from segpipe.images.grid import Grid
from segpipe.images.volume import Image, LabelMap
from segpipe.project.errors import DataError
from segpipe.tools.importing.conversion import (
    Conversion,
    drop_redundant_channels,
    grid_with_spacing,
    read_raw_image,
    read_raw_label,
)
from segpipe.tools.importing.finding.sources import RawCase

log = logging.getLogger(__name__)
WHOLE_TYPES = (np.uint8, np.int16, np.uint16, np.int32)
SAME_GRID = 0.001  # units between corners, to float32's rounding
LARGEST_EXACT = 2**24  # float32 stores whole numbers up to this exactly


def write_case(case: RawCase, conversion: Conversion, data: Path) -> None:
    """Write the image, label and instance files of a case.

    Raises:
        DataError: If a file is damaged or differs from the others.
    """
    parts = []
    for file in case.images:
        image = read_raw_image(file, conversion.options)
        array = drop_redundant_channels(
            image.array, conversion.keep_alpha, conversion.options
        )
        grid = grid_with_spacing(image.grid, conversion.spacing_mm)
        parts.append(check_image(file, Image(array, grid)))
    count = sum(len(part.array) for part in parts)
    if count != len(conversion.channels):
        raise DataError(
            f"{case.images[0]}: expected {len(conversion.channels)} channels "
            f"({', '.join(conversion.channels)}), found {count}; give --channel for "
            "each, --grey if all colours are equal, or correct the image"
        )
    if parts[0].grid.unit != conversion.unit:
        raise DataError(
            f"{case.images[0]}: expected the unit {conversion.unit} as in the first "
            f"case, found {parts[0].grid.unit}; give all files a spacing, or none"
        )
    _write_images(case, parts, conversion, data)
    _write_labels(case, parts[0].grid, conversion, data)


def check_image(path: Path, image: Image) -> Image:
    """The image, if it keeps what the contract of all formats asks of its voxels.

    Raises:
        DataError: If a channel is blank, or a plane does not lie across the body.
    """
    check_axial(path, image.grid)
    for number, channel in enumerate(image.array):
        where = f" in channel {number}" if len(image.array) > 1 else ""
        low, high = float(channel.min()), float(channel.max())
        check_varies(path, low, high, where=where)
    return image


def _write_images(
    case: RawCase, parts: list[Image], conversion: Conversion, data: Path
) -> None:
    ending, number = conversion.ending, 0
    if ending not in NIFTI and len(parts) == 1 and len(parts[0].array) in (1, 3, 4):
        goal = data / "imagesTr" / f"{case.name}_0000{ending}"
        _write_raster(goal, parts[0].array, case.images[0])
        return
    for file, part in zip(case.images, parts, strict=True):
        for channel in part.array:
            goal = data / "imagesTr" / f"{case.name}_{number:04d}{ending}"
            number += 1
            if ending not in NIFTI:
                _write_raster(goal, channel[None], file)
            elif len(part.array) == 1 and file.name.endswith(ending):
                goal.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, goal)
            else:
                nifti.write_image(goal, compact(channel), part.grid)


def _write_raster(
    path: Path, array: Float32[np.ndarray, "channel i j k"], source: Path
) -> None:
    small = compact(array)
    if path.suffix == ".png" and small.dtype == np.float32:
        raise DataError(
            f"{source}: expected whole numbers from 0 to 65535 for PNG, found others; "
            "use a data set of .tif images"
        )
    raster.write_image(path, small)


def _write_labels(
    case: RawCase, grid: Grid, conversion: Conversion, data: Path
) -> None:
    options, file = conversion.options, f"{case.name}{conversion.ending}"
    label = read_raw_label(case.label, options)
    place = _label_grid(label, grid, conversion)
    array = label.array
    if options.instances:
        structure = next(value for value in conversion.labels.values() if value)
        unknown = array == conversion.ignore
        ids = np.where(unknown, 0, array)
        array = np.where(ids > 0, structure, 0)
        array[unknown] = conversion.ignore or 0
        goal = data / "instancesTr" / file
        write_label(goal, compact(ids), place)
    write_label(data / "labelsTr" / file, compact(array), place)
    if case.instances is not None:
        drawn = read_label(case.instances)
        place = _label_grid(drawn, grid, conversion)
        write_label(data / "instancesTr" / file, compact(drawn.array), place)


def _label_grid(label: LabelMap, grid: Grid, conversion: Conversion) -> Grid:
    """The label's own grid, or the image's if it has none, as in HDF5 files."""
    if label.grid.unit == "px" and label.grid.shape == grid.shape:
        return grid
    return grid_with_spacing(label.grid, conversion.spacing_mm)


def compact(array: np.ndarray) -> np.ndarray:
    """The same numbers in the smallest type that stores them exactly."""
    low, high = array.min(initial=0), array.max(initial=0)
    if not np.issubdtype(array.dtype, np.integer):
        whole = max(-low, high) <= LARGEST_EXACT and bool(
            (array == np.rint(array)).all()
        )
        if not whole:
            return array
    for kind in WHOLE_TYPES:
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            return array.astype(kind)
    return array


def drop_known(
    part: Path,
    names: Sequence[str],
    rows: Sequence[Mapping[str, str]],
    data: Path,
    old: Dataset,
) -> list[str]:
    """Delete the written cases that the data hold with the same content.

    So a delivery can be repeated: nobody gets in twice.

    Args:
        part: The folder that the new cases were written into.
        names: Their names.
        rows: Rows of patients.csv for them; a cell that is missing says nothing.
        data: The data folder.
        old: The data set in it.

    Returns:
        The names of the cases that are new.

    Raises:
        DataError: If the data hold other content under the name of a new case.
    """
    known = {case.name.casefold(): case for case in old.cases}
    stated = {row.get("case", ""): row for row in rows}
    new, other = [], {}
    for name in names:
        case = known.get(name.casefold())
        if case is None:
            new.append(name)
            continue
        files = _written_files(part, name, old.file_ending)
        if not _agrees(stated.get(name, {}), case):
            other[name] = data / "patients.csv"
        elif differing := next(_differing(part, files, data, case), None):
            other[name] = data / differing
        else:
            _delete(part, files)
    if other:
        raise DataError(
            f"{data}: expected new cases, or the content of those that are there, "
            f"found another one for {', '.join(list(other)[:8])} (in "
            f"{next(iter(other.values()))}); copy a correction over that file, and "
            "give the case of another patient a new name"
        )
    return new


def drop_known_series(
    part: Path, rows: Sequence[Mapping[str, str]], data: Path, old: Dataset
) -> list[str]:
    """Delete the written cases that the data hold for the same patient by any name.

    Args:
        part: The folder that the new cases were written into.
        rows: Case and patient of each.
        data: The data folder.
        old: The data set in it.

    Returns:
        The names of the cases that are new.
    """
    new = []
    for name, patient in ((row["case"], row["patient"]) for row in rows):
        files = _written_files(part, name, old.file_ending)
        alike = [case for case in old.cases if case.patient == patient]
        first = [next(_differing(part, files, data, case), None) for case in alike]
        if None in first:
            _delete(part, files)
            continue
        new.append(name)
        for case, file in zip(alike, first, strict=True):
            if file == case.label:
                log.warning(
                    "%s: the same image as %s with other labels; if they are a "
                    "correction, delete the older case",
                    name,
                    case.name,
                )
    return new


def _written_files(part: Path, name: str, ending: str) -> list[str]:
    """The images, the label map and the instances of a case that was just written."""
    numbered = (f"imagesTr/{name}_{n:04d}{ending}" for n in count())
    images = list(takewhile(lambda file: (part / file).is_file(), numbered))
    drawn = [f"{folder}/{name}{ending}" for folder in ("labelsTr", "instancesTr")]
    return images + [file for file in drawn if (part / file).is_file()]


def _delete(part: Path, files: Sequence[str]) -> None:
    for file in files:
        (part / file).unlink()


def _agrees(row: Mapping[str, str], case: CaseFiles) -> bool:
    """Whether all that a row states is what the data say."""
    said = {**case.attributes, "patient": case.patient, "case": row.get("case", "")}
    return all(said.get(key) == cell for key, cell in row.items() if key and cell)


def _differing(
    part: Path, files: Sequence[str], data: Path, case: CaseFiles
) -> Iterator[str]:
    """The files of a case in the data whose content is not that of the new ones."""
    there = [*case.images, case.label, *([case.instances] if case.instances else [])]
    if len(there) != len(files):
        yield case.label
        return
    for new, old in zip(files, there, strict=True):
        if filecmp.cmp(part / new, data / old, shallow=False):
            continue
        read = read_image if old in case.images else read_label
        one, other = read(part / new), read(data / old)
        same = one.grid.matches(other.grid, tolerance=SAME_GRID)
        if not (same and np.array_equal(one.array, other.array)):
            yield old
