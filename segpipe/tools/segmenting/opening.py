"""Opening: a study as the segmenter wants it, or the reason why it cannot be."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segpipe.images.dicom.series import DicomImage, read_series
from segpipe.images.formats import raster
from segpipe.images.formats.files import open_image
from segpipe.images.grid import Grid
from segpipe.images.volume import Image, ImageStream
from segpipe.project.errors import DataError
from segpipe.segmenter.plan import DatasetProfile, Plan
from segpipe.tools.segmenting.studies import Study

GRID_TOLERANCE_MM = 0.01


@dataclass(frozen=True, eq=False)
class Opened:
    """A study that can be segmented.

    Attributes:
        source: With the channels of the segmenter.
        dicom: The DICOM series, if it is one.
        warnings: What was converted or mended, in words.
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
        study: One of find_studies.
        plan: Of the segmenter.
        spacing_mm: Of images whose format carries none.
        resample_tilt: Straighten DICOM slices of a tilted gantry.

    Raises:
        DataError: If it is damaged, or of other channels, dimensions or unit than the
            segmenter was trained for.
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
    if source.channels != len(plan.channels):
        raise DataError(
            f"{study.files[0]}: expected {len(plan.channels)} channels "
            f"({', '.join(plan.channels)}), found {source.channels}; name the files of "
            "one case NAME_0000, NAME_0001 … in this order"
        )
    _check_kind(study.files[0], source.grid, plan)
    return Opened(source, series, warnings)


def _open_files(
    files: tuple[Path, ...], plan: Plan, spacing_mm: tuple[float, float] | None
) -> tuple[ImageStream, tuple[str, ...]]:
    if files[0].name.lower().endswith(raster.SUFFIXES):
        return _open_raster(files, plan, spacing_mm)
    parts = [open_image(file) for file in files]
    for file, part in zip(files, parts, strict=True):
        if not part.grid.matches(parts[0].grid, tolerance=GRID_TOLERANCE_MM):
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
    """Pictures: alpha and colours that say nothing give way, and it is said."""
    images = [raster.read_image(file, spacing_mm=spacing_mm) for file in files]
    array, grid, said = images[0].array, images[0].grid, []
    wanted = len(plan.channels)
    if len(images) > 1:
        if any(image.grid.shape != grid.shape for image in images):
            raise DataError(f"{files[0]}: expected channels of one shape, found others")
        array = np.concatenate([image.array for image in images])
    has_alpha = len(array) in (2, 4) and len(array) > wanted and len(images) == 1
    if has_alpha and (array[-1] == array[-1].flat[0]).all():
        array = array[:-1]
        said.append("the alpha channel, alike everywhere, was left out")
    if wanted == 1 and len(array) == 3 and (array == array[:1]).all():
        array = array[:1]
        said.append("colours, all equal, became one grey channel")
    image = Image(np.ascontiguousarray(array), grid)
    return ImageStream.of(image), tuple(said)


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


SPACING_FACTOR = 1.25  # beyond the trained range, before it is worth a word
SIZE_FACTOR = 2.0


def warn_of_grid(grid: Grid, plan: Plan) -> list[str]:
    """What of the grid lies outside the training's fingerprint, in words.

    Args:
        grid: Of the image, on any axes.
        plan: Of the segmenter.
    """
    canonical = grid.reoriented(grid.to_canonical)
    fingerprint, unit = plan.fingerprint, plan.unit
    said = []
    for name, step, (low, _, high) in zip(
        "RAS", canonical.spacing, fingerprint.spacings, strict=True
    ):
        if not low / SPACING_FACTOR <= step <= high * SPACING_FACTOR:
            said.append(
                f"the spacing along {name}, {step:.4g} {unit}, lies outside the "
                f"training's {low:.4g} to {high:.4g}"
            )
    shape = canonical.shape_at(plan.spacing)
    extents = zip(
        "RAS",
        shape,
        fingerprint.median_prepared_shape,
        fingerprint.largest_prepared_shape,
        plan.spacing,
        strict=True,
    )
    for name, size, median, largest, step in extents:
        if not median / SIZE_FACTOR <= size <= largest * SIZE_FACTOR:
            said.append(
                f"the extent along {name}, {size * step:.4g} {unit}, is unlike the "
                f"training's, about {median * step:.4g} and at most "
                f"{largest * step:.4g}: another part of the body?"
            )
    return said


def warn_of_intensities(medians: list[float], plan: Plan) -> list[str]:
    """Whether the found structures are as bright as those of the training.

    Args:
        medians: Of each channel, over voxels of the found structures; NaN if none.
        plan: Of the segmenter.
    """
    fingerprint: DatasetProfile = plan.fingerprint
    said = []
    for name, median, (low, _, high) in zip(
        plan.channels, medians, fingerprint.intensities, strict=True
    ):
        if not math.isnan(median) and not low <= median <= high:
            said.append(
                f"{name}: the median of what was found, {median:.4g}, lies outside "
                f"the training's structures, {low:.4g} to {high:.4g}: another scanner, "
                "protocol or unit?"
            )
    return said
