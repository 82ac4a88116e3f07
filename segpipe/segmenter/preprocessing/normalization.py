"""Normalization: by the region of a case, by percentiles, or by the data set."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32

from segpipe.images.region import (
    Moments,
    Region,
    is_missing,
    measure_percentiles,
    measure_region,
)
from segpipe.images.volume import ImageStream
from segpipe.segmenter.plan import Normalization, Plan


def measure_image(source: ImageStream, plan: Plan) -> list[tuple[float, float]] | None:
    """What is subtracted from each channel, and what it is divided by then.

    For z-scores they are mean and deviation over the plan's region, for percentiles
    they follow from these. They are taken before resampling, where the voxels outside
    the field of view have exactly the background value. None if there is neither a
    region nor a channel with percentiles.
    """
    kinds = [how.kind for how in plan.normalization]
    if "percentile" not in kinds:
        return None if plan.region is None else measure_region(source, plan.region)
    assert plan.region is not None or "zscore" not in kinds, "z-scores have a region"
    moments = [(0.0, 0.0)] * source.channels
    if plan.region is not None:
        moments = measure_region(source, plan.region)
    channels = [n for n, kind in enumerate(kinds) if kind == "percentile"]
    for number, its in zip(channels, _scales(source, plan, channels), strict=True):
        moments[number] = its
    return moments


def _scales(
    source: ImageStream, plan: Plan, channels: list[int]
) -> list[tuple[float, float]]:
    """What is subtracted from channels with percentiles, and divided by then.

    An image whose background is light is inverted, and then normalized, if the plan
    says so. A channel whose percentiles are equal is mapped by its lowest and highest
    value, and a constant one becomes 0.
    """
    hows = [plan.normalization[n] for n in channels]
    pairs = [(how.low, how.high) for how in hows]
    around = {share for pair in pairs for one in pair for share in (one, 100 - one)}
    wanted = sorted({0.0, 50.0, 100.0} | around)
    table = measure_percentiles(source, channels, wanted)
    rows = [dict(zip(wanted, row.tolist(), strict=True)) for row in table]
    light = plan.polarity is not None and has_light_background(
        [row[50.0] for row in rows],
        [_ends(row, *pair) for row, pair in zip(rows, pairs, strict=True)],
    )
    scales = []
    for row, how, (low, high) in zip(rows, hows, pairs, strict=True):
        start, end = _ends(row, low, high)
        if light:
            end, start = _ends(row, 100 - high, 100 - low)
        width = end - start
        scales.append((start + how.mean * width, how.standard_deviation * width))
    return scales


def _ends(row: dict[float, float], low: float, high: float) -> tuple[float, float]:
    """The values of two percentiles; of the lowest and the highest if these are equal.

    Args:
        row: Value of each percentile.
        low: Lower percentile.
        high: Upper percentile.
    """
    return (row[low], row[high]) if row[low] != row[high] else (row[0.0], row[100.0])


def has_light_background(
    medians: Sequence[float], ends: Sequence[tuple[float, float]]
) -> bool:
    """Whether most of an image is lighter than the middle of its range.

    Objects cover less than half of an image, so its median is the background. The
    channels decide together: by the mean of where their medians lie between their
    ends. A constant or missing channel does not count.

    Args:
        medians: Median of each channel.
        ends: Lower and upper percentile of each channel.
    """
    pairs = zip(medians, ends, strict=True)
    places = [
        (value - low) / (high - low) for value, (low, high) in pairs if high > low
    ]
    return sum(places) > len(places) / 2


def prepared_region(
    plan: Plan, moments: list[tuple[float, float]] | None
) -> Region | None:
    """The plan's region in a prepared image: its background values are normalized.

    Args:
        plan: Normalization of each channel.
        moments: What measure_image returned for the image.
    """
    if plan.region is None or moments is None:
        return None
    values = prepared_floors(plan.region.background, plan, moments)
    return Region(kind=plan.region.kind, background=tuple(values.tolist()))


def prepared_floors(
    floors: Sequence[float], plan: Plan, moments: list[tuple[float, float]]
) -> Float32[np.ndarray, " channel"]:
    """The values of a prepared image where there is nothing.

    Args:
        floors: The values before normalization.
        plan: Normalization of each channel.
        moments: What case_moments returned for the image.
    """
    values = np.array(floors, dtype=np.float32)
    for n, (how, its) in enumerate(zip(plan.normalization, moments, strict=True)):
        apply_moments(values[n : n + 1], how, its)
    return values


def normalize(channel: Float32[np.ndarray, "i j k"], how: Normalization) -> None:
    """Normalize a channel in place, by the moments of all of its voxels.

    Source:
        z-score of the case, and for CT clipping with the data set's mean and deviation:
        Isensee 2021, doi:10.1038/s41592-020-01008-z.
    """
    moments = Moments()
    if how.kind == "zscore":
        for part in channel:
            moments.add(part)
    apply_moments(channel, how, moments.mean_and_deviation)


def apply_moments(
    channel: np.ndarray, how: Normalization, moments: tuple[float, float]
) -> None:
    """Normalize voxels in place; z-scores take the case's mean and deviation.

    So do percentiles their scale. A channel that the image lacks, which is NaN and has
    NaN for its mean, becomes 0.
    """
    mean, deviation = moments
    if math.isnan(mean) or is_missing(channel):
        channel[...] = 0
        return
    if how.kind == "none":
        return
    if how.kind == "ct":
        np.clip(channel, how.low, how.high, out=channel)
        mean, deviation = how.mean, how.standard_deviation
    channel -= np.float32(mean)
    if deviation != 0:
        channel /= np.float32(deviation)
