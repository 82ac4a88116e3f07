"""Write the files of one case: images, label map, instances, observers."""

import shutil
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Integer

from segpipe.dataset.description import NIFTI
from segpipe.dataset.layout import OBSERVERS
from segpipe.images.contract import check_axial, check_varies
from segpipe.images.formats import nifti, raster
from segpipe.images.formats.colours import HOW, is_picture, match_colours
from segpipe.images.formats.files import read_label, write_label
from segpipe.images.grid import SAME_GRID, Grid
from segpipe.images.volume import Image, LabelMap
from segpipe.project.errors import DataError
from segpipe.tools.importing.conversion import (
    Conversion,
    drop_redundant_channels,
    grid_with_spacing,
    read_raw_image,
)
from segpipe.tools.importing.finding.sources import RawCase, RawCases
from segpipe.tools.importing.reading.labels import Drawn, Notes, read_drawn
from segpipe.tools.importing.reading.panoptic import draw_instances
from segpipe.tools.importing.reading.series import on_series
from segpipe.tools.importing.writing.ledger import LedgerLine

WHOLE_TYPES = (np.uint8, np.int16, np.uint16, np.int32)
Line = tuple[Path, str, list[str]]  # a file, what it was read as, what it went into
LARGEST_EXACT = 2**24  # float32 stores whole numbers up to this exactly


def write_case(
    case: RawCase, conversion: Conversion, data: Path, source: Path | None = None
) -> list[LedgerLine]:
    """Write the image, label and instance files of a case.

    Args:
        case: The case.
        conversion: The decisions for all files.
        data: The data folder.
        source: The folder that the ledger's paths begin in; without it they are names.

    Returns:
        What was read, dropped and assumed, a line for each file of the source.

    Raises:
        DataError: If a file is damaged or differs from the others.
    """
    notes = Notes()
    parts = []
    for file in case.images:
        image = read_raw_image(file, conversion.options)
        array = drop_redundant_channels(
            image.array, conversion.keep_alpha, conversion.options
        )
        if len(case.images) == 1 and is_picture(file):
            array, words = match_colours(array, conversion.channels)
            notes.assumed[file] += [words] if words and len(array) == 3 else []
        _note_image(file, image, array, conversion, notes)
        grid = grid_with_spacing(image.grid, conversion.spacing_mm)
        parts.append(check_image(file, Image(array, grid)))
    count = sum(len(part.array) for part in parts)
    wanted = [n for k, n in enumerate(conversion.channels) if k not in case.missing]
    if count != len(wanted):
        raise DataError(
            f"{case.images[0]}: expected {len(wanted)} channels "
            f"({', '.join(wanted)}), found {count}; give --channel for each, or "
            f"correct the image: {HOW} (--grey)"
        )
    lacking = [conversion.channels[n] for n in case.missing]
    if lacking:
        words = f"no file of {', '.join(lacking)}: the case lacks it"
        notes.assumed[case.images[0]].append(words)
    if parts[0].grid.unit != conversion.unit:
        raise DataError(
            f"{case.images[0]}: expected the unit {conversion.unit} as in the first "
            f"case, found {parts[0].grid.unit}; give all files a spacing, or none"
        )
    read = _write_images(case, parts, conversion, data)
    read += _write_labels(case, parts[0].grid, conversion, data, notes)
    return [
        LedgerLine(
            file=_inside(file, source),
            case=case.name,
            read_as=what,
            wrote=tuple(wrote),
            dropped=tuple(notes.dropped[file]) if what != "instances" else (),
            assumed=tuple(notes.assumed[file]) if what != "instances" else (),
        )
        for file, what, wrote in read
    ]


def note_unlabelled(sources: RawCases, root: Path) -> list[LedgerLine]:
    """The lines of the images to which no label belongs; they are in no case."""
    return [
        LedgerLine(
            file=_inside(file, root),
            case="",
            read_as="nothing",
            wrote=(),
            dropped=("the image, which has no label",),
        )
        for file in sources.unlabelled
    ]


def _inside(file: Path, source: Path | None) -> str:
    """The path inside the source, and no folder outside it."""
    if source is not None and file.is_relative_to(source):
        return file.relative_to(source).as_posix() or file.name
    return file.name


def _note_image(
    file: Path, image: Image, kept: np.ndarray, conversion: Conversion, notes: Notes
) -> None:
    """Note the channels and the spacing that are not those of the file."""
    if len(kept) == 1 < len(image.array) - 1:
        equal = (image.array[:3] == image.array[:1]).all()
        words = "two of three equal colours" if equal else "colours, but their luma"
        notes.dropped[file].append(words)
    if not conversion.keep_alpha and len(image.array) in (2, 4):
        notes.dropped[file].append("the alpha channel, which is the same everywhere")
    if image.grid.unit == "mm":
        return
    given = conversion.spacing_mm
    size = " x ".join(f"{one:g}" for one in given) + " mm" if given else "1 px"
    notes.assumed[file].append(f"a spacing of {size}, as the file is read without one")


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
) -> list[Line]:
    """Write the channels; what each file was read as and went into."""
    ending, present = conversion.ending, len(conversion.channels)
    numbers = iter(n for n in range(present) if n not in case.missing)
    if ending not in NIFTI and len(parts) == 1 and len(parts[0].array) in (1, 3, 4):
        goal = data / "imagesTr" / f"{case.name}_0000{ending}"
        _write_raster(goal, parts[0].array, case.images[0])
        return [(case.images[0], "image", [f"imagesTr/{goal.name}"])]
    lines: list[Line] = []
    for file, part in zip(case.images, parts, strict=True):
        lines.append((file, "image", []))
        for channel in part.array:
            goal = data / "imagesTr" / f"{case.name}_{next(numbers):04d}{ending}"
            lines[-1][2].append(f"imagesTr/{goal.name}")
            if ending not in NIFTI:
                _write_raster(goal, channel[None], file)
            elif len(part.array) == 1 and file.name.endswith(ending):
                goal.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, goal)
            else:
                nifti.write_image(goal, compact(channel), part.grid)
    return lines


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
    case: RawCase, grid: Grid, conversion: Conversion, data: Path, notes: Notes
) -> list[Line]:
    """Write what was drawn; what each file was read as and went into."""
    options, file = conversion.options, f"{case.name}{conversion.ending}"
    drawn = read_drawn(case.drawn, conversion.rules, notes, grid)
    label = _placed(drawn, grid, conversion, case, notes)
    array, wrote = label.array, [f"labelsTr/{file}"]
    ids = _ids_of(case.drawn, array, conversion)
    if ids is not None:
        wrote.append(f"instancesTr/{file}")
        write_label(data / wrote[1], compact(ids), label.grid)
    if options.instances:
        array = _structure_of(array, conversion)
    write_label(data / wrote[0], compact(array), label.grid)
    lines = _read_as(case.drawn, "", wrote)
    if case.instances is not None:
        drawn = _placed(read_label(case.instances), grid, conversion, case, notes)
        goal = f"instancesTr/{file}"
        write_label(data / goal, compact(drawn.array), drawn.grid)
        lines.append((case.instances, "instances", [goal]))
    for name, again in case.observers.items():
        drawn = read_drawn(again, conversion.rules, notes, grid)
        label = _placed(drawn, grid, conversion, case, notes)
        array = label.array
        if options.instances:
            array = _structure_of(array, conversion)
        goal = f"{OBSERVERS}/{name}/{file}"
        write_label(data / goal, compact(array), label.grid)
        lines += _read_as(again, f" by {name}", [goal])
    return lines


def _ids_of(
    drawn: Drawn, array: Integer[np.ndarray, "i j k"], conversion: Conversion
) -> Integer[np.ndarray, "i j k"] | None:
    """The instance ids of what was drawn, of which array was read; None if none are."""
    ids = array if conversion.options.instances else None
    if drawn.segments is not None and conversion.regions_class_order is None:
        ids = draw_instances(drawn.segments, conversion.rules.sources)
    return None if ids is None else np.where(array == conversion.ignore, 0, ids)


def _structure_of(
    ids: Integer[np.ndarray, "i j k"], conversion: Conversion
) -> Integer[np.ndarray, "i j k"]:
    """The label map of instance ids: the only structure wherever there is one."""
    structure = next(value for value in conversion.labels.values() if value)
    array = np.where(ids > 0, structure, 0)
    if conversion.ignore is not None:
        array[ids == conversion.ignore] = conversion.ignore
    return array


def _read_as(drawn: Drawn, by: str, wrote: list[str]) -> list[Line]:
    if drawn.apart:
        return [(path, f"mask of an instance{by}", wrote) for path in drawn.files]
    if drawn.drawing is not None:
        return [(drawn.files[0], f"shapes{by}", wrote)]
    if drawn.segments is not None:
        return [(drawn.files[0], "segments", wrote)]
    if not drawn.names:
        return [(drawn.files[0], f"label map{by}", wrote)]
    pairs = zip(drawn.files, drawn.names, strict=True)
    return [(path, f"mask of {name}{by}", wrote) for path, name in pairs]


def _placed(
    label: LabelMap, grid: Grid, conversion: Conversion, case: RawCase, notes: Notes
) -> LabelMap:
    """The label map on its own grid, or on the image's where that is what is meant.

    That is so if it has none and as many voxels, as in HDF5 files, and if its own grid
    in mm is a box of whole voxels of the image, as 3D Slicer cuts segmentations. Beside
    a series of DICOM its axes may differ.

    Raises:
        DataError: If it lies on another grid than its series of DICOM.
    """
    if label.grid.unit == "px" and label.grid.shape == grid.shape:
        return LabelMap(label.array, grid)
    own = grid_with_spacing(label.grid, conversion.spacing_mm)
    start = own.start_in(grid, tolerance=SAME_GRID)
    if case.images[0].is_dir() and (start is None or own.shape == grid.shape):
        return on_series(case.label, label, grid)
    if start is None or own.shape == grid.shape or label.grid.unit == "px":
        return LabelMap(label.array, own)
    size = " x ".join(map(str, own.shape))
    notes.assumed[case.label].append(f"background around a box of {size} at {start}")
    whole = np.zeros(grid.shape, label.array.dtype)
    box = zip(start, own.shape, strict=True)
    whole[tuple(slice(low, low + size) for low, size in box)] = label.array
    return LabelMap(whole, grid)


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
