"""Images: reorient, resample and normalize, in training and in use alike."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float32

from segpipe.images.grid import Grid
from segpipe.images.region import Moments
from segpipe.images.volume import SLICES, Image, ImageStream, RollingSlices
from segpipe.segmenter.plan import Plan
from segpipe.segmenter.preprocessing.normalization import (
    apply_moments,
    measure_image,
    normalize,
)
from segpipe.segmenter.preprocessing.resampling import (
    AxisRun,
    resample_image,
    resample_run,
)


def prepare_image(
    image: Image, plan: Plan, *, moments: list[tuple[float, float]] | None = None
) -> tuple[Float32[np.ndarray, "channel i j k"], Grid]:
    """Reorient an image to the canonical axes, resample and normalize it.

    Args:
        image: Image on any grid.
        plan: Spacing, and normalization of each channel.
        moments: What measure_image returned, if it was called.

    Returns:
        The prepared voxels and their grid.
    """
    if moments is None:
        moments = measure_image(ImageStream.of(image), plan)
    orientation = image.grid.to_canonical
    grid = image.grid.reoriented(orientation)
    prepared_grid = grid.resampled(grid.shape_at(plan.spacing))
    array = resample_image(orientation.apply(image.array), prepared_grid.shape)
    for n, (channel, how) in enumerate(zip(array, plan.normalization, strict=True)):
        if moments is None:
            normalize(channel, how)
        else:
            apply_moments(channel, how, moments[n])
    return array, prepared_grid


def case_moments(source: ImageStream, plan: Plan) -> list[tuple[float, float]]:
    """Mean and deviation by which each channel is normalized; 0 where none are needed.

    Without a region, z-scores take those of the whole resampled image.
    """
    moments = measure_image(source, plan)
    if moments is not None:
        return moments
    if any(how.kind == "zscore" for how in plan.normalization):
        return _moments_of_channels(source, plan)
    return [(0.0, 0.0)] * source.channels


def prepared_parts(
    source: ImageStream, plan: Plan, moments: list[tuple[float, float]] | None = None
) -> Iterator[Float32[np.ndarray, "channel n j k"]]:
    """Prepare an image of any length as prepare_image does, some slices at a time.

    Slices come in the order of the source's axis k, which leads; the axes are those of
    ``Orientation.slices_first``. For z-scores the source is read twice, for percentiles
    two or three times.

    Args:
        source: Image on any grid.
        plan: Spacing, and normalization of each channel.
        moments: What case_moments returned, if it was called.
    """
    if moments is None:
        moments = case_moments(source, plan)
    for part in _resampled_parts(source, plan):
        for channel, how, its in zip(part, plan.normalization, moments, strict=True):
            apply_moments(channel, how, its)
        yield part


def _moments_of_channels(source: ImageStream, plan: Plan) -> list[tuple[float, float]]:
    """Mean and deviation of each resampled channel, in one reading of the source."""
    tables = [Moments() for _ in range(source.channels)]
    for part in _resampled_parts(source, plan):
        for channel, table in zip(part, tables, strict=True):
            for plane in channel:
                table.add(plane)
    return [table.mean_and_deviation for table in tables]


def _resampled_parts(source: ImageStream, plan: Plan) -> Iterator[np.ndarray]:
    """Slices of the source, reoriented and resampled into new arrays."""
    orientation = source.grid.to_canonical
    frame, at = orientation.slices_first, orientation.slices_at
    canonical = source.grid.reoriented(orientation)
    shape = list(canonical.shape_at(plan.spacing))
    size, plane = shape.pop(at), shape
    flat = (_resized(frame.apply(part), plane) for part in source.read())
    rolling, length = RollingSlices(flat, axis=1), source.grid.shape[2]
    for start in range(0, size, SLICES):
        run = AxisRun(length, size, start, min(size, start + SLICES))
        block = rolling.window(*run.needed)
        goal = np.empty((len(block), run.stop - start, *plane), dtype=np.float32)
        for channel, result in zip(block, goal, strict=True):
            if size == length:
                result[...] = channel
            else:
                resample_run(channel, 0, result, run)
        yield goal


def _resized(part: np.ndarray, plane: list[int]) -> np.ndarray:
    """Resample slices within their planes."""
    if list(part.shape[2:]) == plane:
        return part
    return resample_image(part, (part.shape[1], plane[0], plane[1]))
