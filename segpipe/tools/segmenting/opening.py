"""Opening a study for a segmenter, and warnings where it is unlike the training."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segpipe.images.contract import check_axial, check_varies
from segpipe.images.dicom.series import DicomImage, read_series
from segpipe.images.formats import raster
from segpipe.images.formats.colours import HOW, is_picture, match_colours
from segpipe.images.formats.files import open_image
from segpipe.images.grid import SAME_GRID, Grid
from segpipe.images.volume import Image, ImageStream
from segpipe.project.errors import DataError
from segpipe.segmenter.plan import Plan
from segpipe.tools.segmenting.studies import Study

SPACING_FACTOR = 1.25  # beyond the trained range, before a warning
SIZE_FACTOR = 2.0
MAY_LACK = (
    "; a segmenter that was trained with verify.missing_channels: zeros takes cases "
    "without some of them"
)


@dataclass(frozen=True, eq=False)
class Opened:
    """A study that can be segmented.

    Attributes:
        source: Image with the channels of the segmenter.
        dicom: The DICOM series, if it is one.
        warnings: What was converted or repaired, in sentences.
    """

    source: ImageStream
    dicom: DicomImage | None
    warnings: tuple[str, ...]


def open_study(
    study: Study,
    plan: Plan,
    *,
    spacing_mm: tuple[float, float] | None,
    resample_tilt: bool,
) -> Opened:
    """Open a study for a segmenter.

    Args:
        study: A study from find_studies.
        plan: Plan of the segmenter.
        spacing_mm: Spacing of images whose format carries none: columns, rows.
        resample_tilt: Straighten DICOM slices of a tilted gantry.

    Raises:
        DataError: If it is damaged, or has other channels, dimensions or another unit
            than the segmenter was trained for.
    """
    if study.fault is not None:
        raise DataError(study.fault)
    if study.series is not None:
        series = read_series(study.series, resample_tilt=resample_tilt)
        source = ImageStream.of(series.image)
        warnings = tuple(study.without_places(words) for words in series.warnings)
    else:
        series = None
        source, warnings = _open_files(study.files, plan, spacing_mm)
        source, more = _completed(source, study, plan)
        warnings = (*warnings, *more)
    if source.channels != len(plan.channels):
        raise DataError(
            f"{study.files[0]}: expected {len(plan.channels)} channels "
            f"({', '.join(plan.channels)}), found {source.channels}; name the files of "
            "one case NAME_0000, NAME_0001 … in this order"
            + (f"; {HOW}" if is_picture(study.files[0]) else "")
            + ("" if plan.missing_channels else MAY_LACK)
        )
    _check_kind(study.files[0], source.grid, plan)
    check_axial(study.files[0], source.grid)
    return Opened(_varying(study.files[0], source), series, warnings)


def _completed(
    source: ImageStream, study: Study, plan: Plan
) -> tuple[ImageStream, tuple[str, ...]]:
    """The image with NaN for channels without a file, and a warning that names them.

    It stays as it is if the segmenter allows no missing channel, or if a file holds
    several.
    """
    lacking = [n for n in range(len(plan.channels)) if n not in study.numbers]
    whole = not lacking or source.channels != len(study.numbers)
    if plan.missing_channels is None or not study.numbers or whole:
        return source, ()

    def read() -> Iterator[np.ndarray]:
        for part in source.read():
            channels = list(part[:, np.newaxis])
            for number in lacking:
                channels.insert(number, np.full_like(channels[0], np.nan))
            yield np.concatenate(channels)

    names = ", ".join(plan.channels[n] for n in lacking)
    words = f"no file of {names} was given: zeros took its place after normalization"
    return ImageStream(source.grid, len(plan.channels), read), (words,)


def _varying(path: Path, source: ImageStream) -> ImageStream:
    """The same image; a blank channel is refused when its last slice is read."""

    def read() -> Iterator[np.ndarray]:
        low = np.full(source.channels, np.inf)
        high, count = -low, 0
        for slices in source.read():
            low = np.minimum(low, slices.min(axis=(1, 2, 3)))
            high = np.maximum(high, slices.max(axis=(1, 2, 3)))
            count += slices.shape[3]
            if count == source.grid.shape[2]:
                for n, (least, most) in enumerate(zip(low, high, strict=True)):
                    where = f" in channel {n}" if source.channels > 1 else ""
                    check_varies(path, float(least), float(most), where=where)
            yield slices

    return ImageStream(source.grid, source.channels, read)


def _open_files(
    files: tuple[Path, ...], plan: Plan, spacing_mm: tuple[float, float] | None
) -> tuple[ImageStream, tuple[str, ...]]:
    if is_picture(files[0]):
        return _open_raster(files, plan, spacing_mm)
    parts = [open_image(file) for file in files]
    for file, part in zip(files, parts, strict=True):
        if not part.grid.matches(parts[0].grid, tolerance=SAME_GRID):
            raise DataError(
                f"{file}: expected the grid of {files[0].name}, {_place(parts[0].grid)}"
                f", found {_place(part.grid)}; register and resample the channels to "
                "one grid"
            )
    if len(parts) == 1:
        return parts[0], ()

    def read() -> Iterator[np.ndarray]:
        for slices in zip(*(part.read() for part in parts), strict=True):
            yield np.concatenate(slices)

    count = sum(part.channels for part in parts)
    return ImageStream(parts[0].grid, count, read), ()


def _open_raster(
    files: tuple[Path, ...], plan: Plan, spacing_mm: tuple[float, float] | None
) -> tuple[ImageStream, tuple[str, ...]]:
    """Open pictures; drop uniform alpha, and match the colours, with a warning."""
    images = [raster.read_image(file, spacing_mm=spacing_mm) for file in files]
    array, grid, warnings = images[0].array, images[0].grid, []
    wanted = len(plan.channels)
    if len(images) > 1:
        if any(image.grid.shape != grid.shape for image in images):
            raise DataError(f"{files[0]}: expected channels of one shape, found others")
        array = np.concatenate([image.array for image in images])
    has_alpha = len(array) in (2, 4) and len(array) > wanted and len(images) == 1
    if has_alpha and (array[-1] == array[-1].flat[0]).all():
        array = array[:-1]
        warnings.append("the alpha channel, alike everywhere, was left out")
    if len(images) == 1:
        array, words = match_colours(array, plan.channels)
        warnings += [words] if words else []
    for file in files:
        warnings += filter(None, [raster.spacing_warning(file, spacing_mm)])
    image = Image(np.ascontiguousarray(array), grid)
    return ImageStream.of(image), tuple(warnings)


def _check_kind(path: Path, grid: Grid, plan: Plan) -> None:
    dimensions = 2 if grid.shape[2] == 1 else 3
    if dimensions != plan.dimensions:
        kinds = {2: "a single image", 3: "a volume"}
        raise DataError(
            f"{path}: expected {kinds[plan.dimensions]}, as the segmenter was trained "
            f"on, found {kinds[dimensions]} of {_place(grid)}"
        )
    if grid.unit == plan.unit:
        return
    if grid.unit == "px":
        raise DataError(
            f"{path}: expected a spacing in mm, as in training, found none in the "
            "file; say --spacing-mm COLUMNS,ROWS"
        )
    raise DataError(
        f"{path}: expected an image without a physical spacing, as in training, found "
        f"{_place(grid)}; train on images with their spacing"
    )


def _place(grid: Grid) -> str:
    shape = " x ".join(map(str, grid.shape))
    spacing = " x ".join(f"{step:.4g}" for step in grid.spacing)
    return f"{shape} voxels of {spacing} {grid.unit}"


def warn_of_grid(grid: Grid, plan: Plan) -> list[str]:
    """Sentences on spacings and extents outside the range of the training data.

    Args:
        grid: Grid of the image, along any axes.
        plan: Plan of the segmenter.
    """
    canonical = grid.reoriented(grid.to_canonical)
    profile, unit = plan.profile, plan.unit
    warnings = []
    for name, step, (low, _, high) in zip(
        "RAS", canonical.spacing, profile.spacings, strict=True
    ):
        if not low / SPACING_FACTOR <= step <= high * SPACING_FACTOR:
            warnings.append(
                f"the spacing along {name}, {step:.4g} {unit}, lies outside the "
                f"training's {low:.4g} to {high:.4g}"
            )
    shape = canonical.shape_at(plan.spacing)
    extents = zip(
        "RAS",
        shape,
        profile.median_prepared_shape,
        profile.largest_prepared_shape,
        plan.spacing,
        strict=True,
    )
    for name, size, median, largest, step in extents:
        if not median / SIZE_FACTOR <= size <= largest * SIZE_FACTOR:
            warnings.append(
                f"the extent along {name}, {size * step:.4g} {unit}, is unlike the "
                f"training's, about {median * step:.4g} and at most "
                f"{largest * step:.4g}: another part of the body?"
            )
    return warnings


def warn_of_intensities(medians: list[float], plan: Plan) -> list[str]:
    """Sentences on channels in which structures are brighter or darker than usual.

    Args:
        medians: Median of each channel over the voxels of structures; NaN without any.
        plan: Plan of the segmenter.
    """
    warnings = []
    for name, median, (low, _, high) in zip(
        plan.channels, medians, plan.profile.intensities, strict=True
    ):
        if not math.isnan(median) and not low <= median <= high:
            warnings.append(
                f"{name}: the median of what was found, {median:.4g}, lies outside "
                f"the training's structures, {low:.4g} to {high:.4g}: another scanner, "
                "protocol or unit?"
            )
    return warnings
