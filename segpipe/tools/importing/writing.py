"""Write the files of one case in the layout of the data folder."""

import shutil
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from segpipe.dataset.description import NIFTI
from segpipe.images.formats import nifti, raster
from segpipe.images.formats.files import read_label, write_label
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
from segpipe.tools.importing.sources import RawCase

WHOLE_TYPES = (np.uint8, np.int16, np.uint16, np.int32)
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
        parts.append(Image(array, grid_with_spacing(image.grid, conversion.spacing_mm)))
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
