"""Opening: a study as the segmenter wants it, or the reason why it cannot be."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segpipe.errors import DataError
from segpipe.grid import Grid
from segpipe.io import dicom, formats, raster
from segpipe.plan import Plan
from segpipe.tools.studies import Study
from segpipe.volume import Image, Source

GRID_TOLERANCE_MM = 0.01


@dataclass(frozen=True, eq=False)
class Opened:
    """A study that can be segmented.

    Attributes:
        source: With the channels of the segmenter.
        dicom: The DICOM series, if it is one.
        warnings: What was converted or mended, in words.
    """

    source: Source
    dicom: dicom.DicomImage | None
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
        series = dicom.read_series(study.series, resample_tilt=resample_tilt)
        source = Source.of(series.image)
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
) -> tuple[Source, tuple[str, ...]]:
    if files[0].name.lower().endswith(raster.SUFFIXES):
        return _open_raster(files, plan, spacing_mm)
    parts = [formats.open_image(file) for file in files]
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
    return Source(parts[0].grid, count, read), ()


def _open_raster(
    files: tuple[Path, ...], plan: Plan, spacing_mm: tuple[float, float] | None
) -> tuple[Source, tuple[str, ...]]:
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
    return Source.of(image), tuple(said)


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
