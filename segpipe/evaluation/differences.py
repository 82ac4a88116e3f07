"""Differences: decide by patient whether two segmenters differ beyond chance.

Scans and structures of one patient are alike, so a patient counts once. Chance is what
the exact sign-flip permutation test says: between equal segmenters, a patient's
difference could as well have had the other sign. Simulated error rates and why this is
neither a bootstrap nor Student's t: docs/decisions/0012-the-gate.md.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import numpy as np
from jaxtyping import Bool, Float64, Int64
from scipy import optimize, stats

Name = TypeVar("Name")
LEVEL = 0.05  # chance of calling any of several equal pairs different
POWER = 0.8  # 4 times in 5
EXACT = 16  # patients up to which all sign patterns are counted
DRAWS = 49_999  # sign patterns that are drawn for more patients
DIGITS = 12  # of a mean; sums of the same terms differ beyond them
ROWS = 4096  # sign patterns at a time


@dataclass(frozen=True)
class Difference:
    """Mean difference over patients, judged beside others of its family.

    Attributes:
        patients: Number of patients with a known difference.
        mean: Mean over patients; NaN without any.
        low: Lower end of the interval; minus infinity with too few patients.
        high: Upper end of the interval; infinity with too few patients.
        p: Probability of a mean at least this far from 0 by chance, after Holm's
            correction.
        visible: True difference that would be called different 4 times in 5; NaN
            with too few patients, or where they do not vary.
    """

    patients: int
    mean: float
    low: float
    high: float
    p: float
    visible: float

    @property
    def different(self) -> bool:
        """Whether the interval excludes 0."""
        return self.low > 0 or self.high < 0


def pair_scores(
    one: Float64[np.ndarray, " pair"], other: Float64[np.ndarray, " pair"]
) -> Float64[np.ndarray, " pair"]:
    """Differences of the scores of two segmenters on the same structures of cases.

    Args:
        one: Dice of the first; NaN where it rightly found nothing.
        other: Dice of the second, likewise.

    Returns:
        First minus second; NaN where both rightly found nothing. Where only one did,
        it counts as 1: else the false finding of the other would not count.
    """
    neither = np.isnan(one) & np.isnan(other)
    found = np.nan_to_num(one, nan=1.0) - np.nan_to_num(other, nan=1.0)
    return np.asarray(np.where(neither, np.nan, found))


def by_patient(
    values: Float64[np.ndarray, " pair"], patients: Sequence[str]
) -> Float64[np.ndarray, " patient"]:
    """Mean of the known values of each patient, in the order of first appearance.

    Args:
        values: Values of structures of cases; NaN where unknown.
        patients: Patient of each value.
    """
    known = ~np.isnan(values)
    of = np.asarray(patients)[known]
    names = list(dict.fromkeys(of.tolist()))
    return np.array([values[known][of == name].mean() for name in names])


def patients_needed(comparisons: int) -> int:
    """Fewest patients with which a difference can be called real.

    With n patients the smallest probability of the exact test is 2 / 2^n: all signs
    alike. Below that number there is no verdict.

    Args:
        comparisons: Number of comparisons that are made together.
    """
    return math.ceil(math.log2(2 * max(1, comparisons) / LEVEL))


def judge_differences(
    differences: Mapping[Name, Float64[np.ndarray, " patient"]],
) -> dict[Name, Difference]:
    """Judge the differences of a family: at most 1 family in 20 is wronged by chance.

    A member with fewer patients than a single comparison needs is never called
    different, so it does not count as a comparison.

    Args:
        differences: Name of a comparison to the difference of each patient.

    Returns:
        Name to the judged difference. An interval is at the level at which Holm's
        procedure tests its member, so it excludes 0 if and only if p is at most 0.05.

    Source:
        Fisher 1935, The Design of Experiments, section 21 (the test). Hartigan 1969,
        Journal of the American Statistical Association 64, 1303-1317 (its interval).
        Holm 1979, Scandinavian Journal of Statistics 6, 65-70 (the correction).
    """
    means = {name: subset_means(values) for name, values in differences.items()}
    judged = [
        name
        for name, values in differences.items()
        if len(values) >= patients_needed(1)
    ]
    chances = np.array([chance(means[name]) for name in judged])
    adjusted, levels = holm(chances)
    places = {name: place for place, name in enumerate(judged)}
    found = {}
    for name, values in differences.items():
        place = places.get(name)
        level = LEVEL if place is None else float(levels[place])
        low, high = interval(means[name], level)
        found[name] = Difference(
            patients=len(values),
            mean=float(values.mean()) if len(values) else math.nan,
            low=low,
            high=high,
            p=1.0 if place is None else float(adjusted[place]),
            visible=visible_difference(values, LEVEL / max(1, len(judged))),
        )
    return found


def subset_means(
    differences: Float64[np.ndarray, " patient"],
) -> Float64[np.ndarray, " subset"]:
    """Means over subsets of the patients, in order: all that the test needs.

    To flip the signs of a subset makes the mean at least as large as it was if and
    only if the mean of the subset is at most 0. All non-empty subsets are taken for up
    to 16 patients; beyond, 49,999 that are drawn by a fixed seed.
    """
    if not len(differences):
        return np.empty(0)
    chosen = subsets(len(differences))
    means = np.concatenate(
        [
            part @ differences / part.sum(axis=1)
            for part in np.array_split(chosen, math.ceil(len(chosen) / ROWS))
        ]
    )
    return np.sort(np.round(means, DIGITS)) + 0.0  # no -0.0


@lru_cache(maxsize=2)
def subsets(patients: int) -> Bool[np.ndarray, "subset patient"]:
    """Non-empty subsets of patients: all of them, or some drawn at random."""
    if patients <= EXACT:
        numbers = np.arange(1, 2**patients)[:, None]
        return (numbers >> np.arange(patients) & 1).astype(bool)
    drawn = np.random.default_rng(0).integers(0, 2, (DRAWS, patients), dtype=bool)
    return drawn[drawn.any(axis=1)]


def chance(means: Float64[np.ndarray, " subset"]) -> float:
    """Two-sided probability of the sign-flip test, from the means of subsets.

    It counts the pattern that was observed, too: so it is exact for all subsets, and
    never too small for drawn ones (Phipson 2010, doi:10.2202/1544-6115.1585).
    """
    above = int(np.searchsorted(means, 0.0, side="right"))
    below = len(means) - int(np.searchsorted(means, 0.0, side="left"))
    return min(1.0, 2 * (1 + min(above, below)) / (1 + len(means)))


def interval(
    means: Float64[np.ndarray, " subset"], level: float
) -> tuple[float, float]:
    """Mean differences that the test does not exclude at a level.

    Returns:
        Lower and upper end; infinite where there are too few patients.
    """
    place = math.floor(level / 2 * (1 + len(means)) + 1e-9)
    if place == 0:
        return -math.inf, math.inf
    return float(means[place - 1]), float(means[-place])


def holm(
    chances: Float64[np.ndarray, " comparison"],
) -> tuple[
    Float64[np.ndarray, " comparison"],
    Float64[np.ndarray, " comparison"],
]:
    """Holm's correction for several comparisons.

    Returns:
        Corrected probabilities, and the level at which each comparison is tested: the
        smallest probability at 0.05 / m, the next at 0.05 / (m - 1) ..., and from the
        first that is not significant on, all at its level.
    """
    order: Int64[np.ndarray, " comparison"] = np.argsort(chances, kind="stable")
    left = len(chances) - np.arange(len(chances))
    raised = np.maximum.accumulate(chances[order] * left)
    failed = np.flatnonzero(raised > LEVEL + 1e-9)
    steps = np.minimum(np.arange(len(chances)), failed[0] if len(failed) else math.inf)
    adjusted, levels = np.empty(len(chances)), np.empty(len(chances))
    adjusted[order] = np.minimum(1.0, raised)
    levels[order] = LEVEL / (len(chances) - steps)
    return adjusted, levels


def visible_difference(
    differences: Float64[np.ndarray, " patient"], level: float
) -> float:
    """True mean difference that the test would see 4 times in 5.

    Computed for normal differences with the deviation that the patients show, by the
    power of Student's test at the level that the exact test reaches with so many
    patients; the two have nearly the same power.

    Args:
        differences: Difference of each patient.
        level: Level of the test.

    Source:
        Cohen 1988, Statistical Power Analysis, chapter 2.
    """
    deviation = float(np.std(differences, ddof=1)) if len(differences) > 1 else 0.0
    if round(deviation, DIGITS) == 0:
        return math.nan
    return _visible_effect(len(differences), level) * deviation


@lru_cache
def _visible_effect(patients: int, level: float) -> float:
    """The visible difference in standard deviations; NaN with too few patients."""
    patterns = 2.0 ** min(patients, 60)
    rejected = math.floor(level / 2 * patterns)  # patterns of signs, on each side
    if rejected == 0:
        return math.nan
    beyond = stats.t.isf(rejected / patterns, patients - 1)

    def lack(shift: float) -> float:
        return float(stats.nct.sf(beyond, patients - 1, shift)) - POWER

    effect = float(optimize.brentq(lack, 0, 10 * beyond)) / math.sqrt(patients)
    if rejected == 1:  # all patients have to differ in one direction
        effect = max(effect, float(stats.norm.ppf(POWER ** (1 / patients))))
    return effect


def power_in_words(found: Iterable[Difference]) -> str:
    """Say in a sentence which difference would be seen; empty if none would be."""
    known = [one for one in found if not math.isnan(one.visible)]
    if not known:
        return ""
    patients = sorted({str(one.patients) for one in known}, key=int)
    sizes = sorted({f"{one.visible:.3f}" for one in known})
    counts, spread = (
        " to ".join(dict.fromkeys((ends[0], ends[-1]))) for ends in (patients, sizes)
    )
    return (
        f"With {counts} patients a difference of {spread} would be seen about 4 times "
        "in 5."
    )
