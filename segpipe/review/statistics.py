"""Statistics: what a number of readings says, with the interval that belongs to it."""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
from jaxtyping import Float64, Int64
from scipy import stats

ERROR = 0.05  # of each interval: they hold with 95 % confidence
SCORES = (1, 2, 3, 4)

Weights = Literal["none", "linear", "quadratic"]


@dataclass(frozen=True)
class Rate:
    """A share of cases, with its interval.

    Attributes:
        count: Cases that show it.
        cases: All cases that were judged.
        low: Lower end of the 95 % interval of the share.
        high: Upper end.
    """

    count: int
    cases: int
    low: float
    high: float

    @property
    def share(self) -> float:
        """Share of the cases; NaN without any."""
        return self.count / self.cases if self.cases else math.nan


def rate(count: int, cases: int) -> Rate:
    """The share of cases with its 95 % interval, from independently drawn cases.

    If none of n cases shows it, one side needs a bound only and all of the error goes
    there: the share is below 1 - .05^(1/n), so 9.5 % for 30 and 4.9 % for 60 cases. The
    same holds for all of n. Between them the interval is that of Clopper and Pearson.
    So the upper end, which is the claim about safety, holds with at least 95 % for
    every share; both ends together with at least 92.5 %, where one of them is such a
    bound.

    Args:
        count: Cases that show it.
        cases: All cases that were judged, drawn at random.

    Source:
        Hanley and Lippman-Hand 1983, doi:10.1001/jama.1983.03330370053031; Clopper and
        Pearson 1934, doi:10.1093/biomet/26.4.404.
    """
    assert 0 <= count <= cases
    if cases == 0:
        return Rate(0, 0, 0.0, 1.0)
    if count == 0:
        return Rate(count, cases, 0.0, 1 - ERROR ** (1 / cases))
    if count == cases:
        return Rate(count, cases, ERROR ** (1 / cases), 1.0)
    low = stats.beta.ppf(ERROR / 2, count, cases - count + 1)
    high = stats.beta.ppf(1 - ERROR / 2, count + 1, cases - count)
    return Rate(count, cases, float(low), float(high))


@dataclass(frozen=True)
class Scored:
    """A score that a reader gave.

    Attributes:
        reader: Name of the reader.
        case: The case; scores within it depend on each other.
        item: The item under which the reader saw it; a repeat is an item of its own.
        what: What was scored: the mask and the structure.
        score: From 1 to 4.
    """

    reader: str
    case: str
    item: str
    what: str
    score: int


@dataclass(frozen=True)
class Kappa:
    """Agreement beyond chance: 1 is perfect, 0 is what chance gives.

    Attributes:
        value: Cohen's kappa; NaN if chance alone explains all agreement, as where both
            give one and the same score to everything.
        low: Lower end of its 95 % interval; NaN with fewer than two cases.
        high: Upper end.
        pairs: Pairs of scores.
        cases: Cases that they belong to.
    """

    value: float
    low: float
    high: float
    pairs: int
    cases: int


def kappa(
    first: Sequence[int],
    second: Sequence[int],
    cases: Sequence[str],
    *,
    weights: Weights,
) -> Kappa:
    """Cohen's kappa of two lists of scores, with its interval over cases.

    The structures of a case are judged alike, so that the error of kappa comes from
    leaving out one case after the other (the jackknife) and not from single scores.
    Without any disagreement it would be 0; then the interval begins where one more
    disagreement as large as possible in one of n cases is expected with 5 %.

    Args:
        first: Scores from 1 to 4.
        second: Scores of the same things by another reader, or at another time.
        cases: The case of each pair.
        weights: How much a disagreement counts: the same whatever its size (none), its
            size (linear), or the square of its size (quadratic).

    Source:
        Cohen 1960, doi:10.1177/001316446002000104; with weights Cohen 1968,
        doi:10.1037/h0026256. Jackknife: Efron and Tibshirani 1993, section 11.
    """
    cost = _costs(weights)
    names = list(dict.fromkeys(cases))
    tables = {name: np.zeros((len(SCORES), len(SCORES)), np.int64) for name in names}
    for one, other, case in zip(first, second, cases, strict=True):
        tables[case][SCORES.index(one), SCORES.index(other)] += 1
    total = sum(tables.values(), np.zeros((len(SCORES), len(SCORES)), np.int64))
    value = _kappa(total, cost)
    low, high = math.nan, math.nan
    count = len(names)
    if count > 1 and not math.isnan(value):
        if (total * cost).sum() == 0:
            by_chance = _disagreements(total, cost)[1]
            worst = cost.max() * (1 - ERROR ** (1 / count))
            low, high = max(-1.0, 1 - worst / by_chance), 1.0
        else:
            low, high = _jackknife(
                value, [total - one for one in tables.values()], cost
            )
    return Kappa(value, low, high, int(total.sum()), count)


def _costs(weights: Weights) -> Float64[np.ndarray, "score score"]:
    places = np.arange(len(SCORES), dtype=np.float64)
    apart = np.abs(places[:, None] - places)
    return {"none": (apart > 0) * 1.0, "linear": apart, "quadratic": apart**2}[weights]


def _disagreements(
    table: Int64[np.ndarray, "score score"], cost: Float64[np.ndarray, "score score"]
) -> tuple[float, float]:
    """Mean cost of the disagreements that are there, and that chance would give."""
    shares = table / table.sum()
    by_chance = np.outer(shares.sum(axis=1), shares.sum(axis=0))
    return float((shares * cost).sum()), float((by_chance * cost).sum())


def _kappa(
    table: Int64[np.ndarray, "score score"], cost: Float64[np.ndarray, "score score"]
) -> float:
    if not table.sum():
        return math.nan
    found, by_chance = _disagreements(table, cost)
    return 1 - found / by_chance if by_chance > 0 else math.nan


def _jackknife(
    value: float, without: Sequence[np.ndarray], cost: np.ndarray
) -> tuple[float, float]:
    """Interval of kappa from its values without each case in turn."""
    values = np.array([_kappa(table, cost) for table in without])
    if np.isnan(values).any():  # one case holds all that differs
        return -1.0, 1.0
    count = len(values)
    error = math.sqrt((count - 1) / count * ((values - values.mean()) ** 2).sum())
    reach = float(stats.t.ppf(1 - ERROR / 2, count - 1)) * error
    return max(-1.0, value - reach), min(1.0, value + reach)


def between_readers(
    scores: Sequence[Scored], *, weights: Weights
) -> dict[tuple[str, str], Kappa]:
    """Agreement of each two readers on what both scored, by their names in order."""
    by_reader: dict[str, dict[tuple[str, str], Scored]] = defaultdict(dict)
    for one in scores:
        by_reader[one.reader][one.item, one.what] = one
    return {
        (a, b): _agreement(by_reader[a], by_reader[b], weights)
        for a, b in combinations(sorted(by_reader), 2)
        if by_reader[a].keys() & by_reader[b].keys()
    }


def within_readers(
    scores: Sequence[Scored], repeats: dict[str, str], *, weights: Weights
) -> dict[str, Kappa]:
    """Agreement of each reader with himself on the cases that he saw twice.

    Args:
        scores: All scores.
        repeats: Item that repeats another one, to that one.
        weights: How much a disagreement counts.
    """
    earlier: dict[str, dict[tuple[str, str], Scored]] = defaultdict(dict)
    later: dict[str, dict[tuple[str, str], Scored]] = defaultdict(dict)
    for one in scores:
        if one.item in repeats:
            later[one.reader][repeats[one.item], one.what] = one
        else:
            earlier[one.reader][one.item, one.what] = one
    return {
        reader: _agreement(earlier[reader], later[reader], weights)
        for reader in sorted(later)
        if earlier[reader].keys() & later[reader].keys()
    }


def _agreement(
    first: dict[tuple[str, str], Scored],
    second: dict[tuple[str, str], Scored],
    weights: Weights,
) -> Kappa:
    both = sorted(first.keys() & second.keys())
    return kappa(
        [first[key].score for key in both],
        [second[key].score for key in both],
        [first[key].case for key in both],
        weights=weights,
    )
