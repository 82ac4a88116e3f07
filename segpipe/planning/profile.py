"""Profile: what the cases are, and the plan that follows from it."""

import logging
from collections.abc import Iterable

import numpy as np

from segpipe.dataset.case import CaseList
from segpipe.dataset.survey import CaseSurvey
from segpipe.images.grid import Spacing, Triple
from segpipe.images.region import Region, usual
from segpipe.planning.normalization import PERCENTILES, choose_normalization
from segpipe.planning.params import PlanParams
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.segmenter.plan import DatasetProfile, Normalization, Plan

log = logging.getLogger(__name__)
MOSTLY_AIR = 0.75  # smaller boxes leave out a quarter of the median case or more
COARSE = 3.0  # an axis is coarse if its spacing is this many times the others'


def build_plan(
    params: PlanParams, cases: CaseList, surveys: list[CaseSurvey], paths: Paths
) -> Plan:
    """Build the plan of all models, still without what is empty.

    Args:
        params: The section plan.
        cases: The data set.
        surveys: The surveys of all cases that are not to test.
        paths: The project's folders.

    Raises:
        DataError: If no case has a channel, or a fixed value does not fit the data.
    """
    samples = _known_samples(cases, surveys, paths)
    shapes = np.array([one.grid.shape for one in surveys])
    spacings = np.array([one.grid.spacing for one in surveys])
    counts = np.sum([one.counts for one in surveys], axis=0)
    spacing = params.spacing
    if spacing == "auto":
        spacing = _choose_spacing(spacings)
    prepared = np.array([one.grid.shape_at(spacing) for one in surveys])
    profile = DatasetProfile(
        cases=len(surveys),
        median_shape=_triple(np.median(shapes, axis=0).round().astype(int)),
        median_prepared_shape=_triple(np.median(prepared, axis=0).round().astype(int)),
        largest_prepared_shape=_triple(np.max(prepared, axis=0)),
        spacings=tuple(
            _three(float(f(axis)) for f in (np.min, np.median, np.max))
            for axis in spacings.T
        ),
        intensities=tuple(
            _three(np.percentile(channel, PERCENTILES).tolist()) for channel in samples
        ),
        class_frequencies=tuple((counts / max(1, counts.sum())).tolist()),
    )
    normalization = choose_normalization(params, cases, samples, paths)
    plan = Plan(
        format_version=1,
        dimensions=cases.dimensions,
        unit=cases.unit,
        spacing=spacing,
        channels=cases.channels,
        normalization=normalization,
        structures=cases.structures,
        values=cases.values,
        ignore=cases.ignore,
        profile=profile,
        unions=cases.legend.unions,
        missing_channels=cases.missing_channels,
        region=_choose_region(normalization, surveys),
        polarity=None if params.polarity == "as_is" else params.polarity,
    )
    log.info(
        "plan: spacing %s %s, median prepared shape %s",
        " x ".join(f"{value:.3g}" for value in spacing),
        cases.unit,
        " x ".join(map(str, profile.median_prepared_shape)),
    )
    return plan


def _known_samples(
    cases: CaseList, surveys: list[CaseSurvey], paths: Paths
) -> list[np.ndarray]:
    """Sampled intensities of each channel, of the cases that have it.

    Raises:
        DataError: If no case has a channel.
    """
    samples = []
    for number, name in enumerate(cases.channels):
        joined = np.concatenate([one.samples[number] for one in surveys])
        channel = joined[~np.isnan(joined)]
        samples.append(channel)
        if not channel.size:
            raise DataError(
                f"{paths.data}: expected the channel {name} in a case that is not to "
                "test, found it in none; add files of it, or take it from "
                "channel_names in dataset.json"
            )
    return samples


def _choose_spacing(spacings: np.ndarray) -> Spacing:
    """Choose the median spacing, and the 10th percentile along a coarse axis.

    The 10th percentile is finer; it is never finer than the other axes.

    Source:
        Isensee 2021, doi:10.1038/s41592-020-01008-z, supplementary note 2.
    """
    median = np.median(spacings, axis=0)
    worst = int(np.argmax(median))
    if median[worst] > COARSE * np.delete(median, worst).max():
        median[worst] = max(
            np.percentile(spacings[:, worst], 10), np.delete(median, worst).max()
        )
    return _three(median.tolist())


def _choose_region(
    normalization: tuple[Normalization, ...], surveys: list[CaseSurvey]
) -> Region | None:
    """Choose the voxels over which z-scores are taken; None without z-scores.

    A channel's background is the value that the corners of at least half of the cases
    have. In a set that is mostly air, as after skull stripping, the empty voxels inside
    the box do not count either.

    Source:
        nnU-Net crops to the box of the non-zero voxels, and takes the moments over the
        non-zero ones if the median case keeps less than 3/4 of its voxels: Isensee
        2021, doi:10.1038/s41592-020-01008-z, online methods; nnU-Net v2,
        ``median_relative_size_after_cropping``.
    """
    if all(how.kind != "zscore" for how in normalization):
        return None
    columns = np.stack([one.background for one in surveys], axis=1)
    known = (column[~np.isnan(column)] for column in columns)
    background = tuple(usual(column.tolist()) for column in known)
    share = float(np.median([one.box_share for one in surveys]))
    region = Region(
        kind="voxels" if share < MOSTLY_AIR else "box", background=background
    )
    log.info(
        "plan: z-scores over the %s; the box without empty borders (background %s) "
        "holds %.0f %% of the median case",
        "voxels that are not empty" if region.kind == "voxels" else "box",
        ", ".join(f"{value:g}" for value in background),
        100 * share,
    )
    return region


def _triple(values: np.ndarray) -> Triple:
    i, j, k = (max(1, int(value)) for value in values)
    return i, j, k


def _three(values: Iterable[float]) -> Spacing:
    a, b, c = values
    return float(a), float(b), float(c)
