"""Normalization: of each channel, with figures of the data set where it needs them."""

import numpy as np

from segpipe.dataset.case import CaseList
from segpipe.planning.params import PlanParams
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.segmenter.plan import PERCENTILE_UNIT, Kind, Normalization

PERCENTILES = (0.5, 50, 99.5)  # of intensities: low, median, high


def choose_normalization(
    params: PlanParams, cases: CaseList, samples: list[np.ndarray], paths: Paths
) -> tuple[Normalization, ...]:
    """Choose how each channel is normalized.

    Args:
        params: The section plan.
        cases: The data set.
        samples: Sampled intensities of each channel.
        paths: The project's folders.

    Raises:
        DataError: If the params do not fit the channels or each other.
    """
    kinds: tuple[Kind, ...]
    if params.normalization == "auto":
        kinds = tuple(_usual_kind(channel) for channel in cases.channels)
    elif params.normalization == "percentile":
        every: Kind = "percentile"
        kinds = (every,) * len(cases.channels)
    else:
        kinds = params.normalization
    if len(kinds) != len(cases.channels):
        raise DataError(
            f"{paths.params}, plan.normalization: expected one for each channel "
            f"({', '.join(cases.channels)}), found {list(kinds)}; write auto or a list"
        )
    low, high = params.percentiles
    if low >= high:
        raise DataError(
            f"{paths.params}, plan.percentiles: expected a lower and an upper one, "
            f"found {low:g} and {high:g}; write for example [1, 99.8]"
        )
    if params.polarity != "as_is" and "percentile" not in kinds:
        raise DataError(
            f"{paths.params}, plan.polarity: expected as_is without a channel whose "
            f"normalization is percentile, found {params.polarity}; set "
            "plan.normalization: percentile"
        )
    return tuple(
        _normalization_of(kind, channel, params.percentiles)
        for kind, channel in zip(kinds, samples, strict=True)
    )


def _normalization_of(
    kind: Kind, samples: np.ndarray, percentiles: tuple[float, float]
) -> Normalization:
    """The normalization of a channel, with figures of the data set only for ct.

    Without them a new case leaves the plan as it is.
    """
    low = high = mean = deviation = 0.0
    if kind == "percentile":
        (low, high), deviation = percentiles, PERCENTILE_UNIT
    if kind == "ct":
        samples = samples.astype(np.float64)
        low, _, high = np.percentile(samples, PERCENTILES).tolist()
        mean, deviation = float(samples.mean()), float(samples.std())
    return Normalization(
        kind=kind, low=low, high=high, mean=mean, standard_deviation=deviation
    )


def _usual_kind(channel: str) -> Kind:
    return "ct" if channel.upper() == "CT" else "zscore"
