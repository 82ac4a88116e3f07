"""Selection: which test cases are reviewed: the worst, random ones, and repeats.

The worst cases find faults. The random ones estimate how often there are any: one case
of each patient, because cases of a patient are alike. Each stratum is chosen from all
test cases as if there were no other, so that the figures of a case do not change its
chance to be drawn. A case of both is read once and counts in both.
"""

import hashlib
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from segpipe.dataset.case import Case
from segpipe.project.errors import DataError

Stratum = Literal["worst", "random"]


@dataclass(frozen=True)
class Chosen:
    """A test case that is reviewed.

    Attributes:
        case: Its name.
        stratum: Why it was chosen; random for a case of both strata.
        rank: Its place among all test cases from the worst, which is 1.
        also_worst: Whether a random case is one of the worst, too.
    """

    case: str
    stratum: Stratum
    rank: int
    also_worst: bool = False


def choose_cases(
    cases: Sequence[Case],
    goodness: Mapping[str, float],
    *,
    worst: int,
    at_random: int,
    strata: Sequence[str],
    seed: str,
) -> list[Chosen]:
    """Choose the cases to review; the same arguments choose the same cases.

    The seed is to be a digest of what is reviewed, so that nobody can draw again until
    he likes the cases.

    Args:
        cases: All cases that may be chosen.
        goodness: Dice of each case, or its confidence where it has no reference.
        worst: Number of cases that are chosen as the worst; all if there are fewer.
        at_random: Number of random cases, each of another patient.
        strata: Columns of patients.csv by which the random cases are spread.
        seed: Any text.

    Raises:
        DataError: If a case has no such column.
    """
    order = sorted(cases, key=lambda case: (goodness[case.name], case.name))
    ranks = {case.name: place for place, case in enumerate(order, start=1)}
    drawn = draw_random(cases, at_random, strata=strata, seed=seed)
    lowest = [case.name for case in order[:worst]]
    return [
        *(Chosen(one, "random", ranks[one], one in lowest) for one in sorted(drawn)),
        *(Chosen(one, "worst", ranks[one]) for one in lowest if one not in drawn),
    ]


def draw_random(
    cases: Sequence[Case], count: int, *, strata: Sequence[str], seed: str
) -> list[str]:
    """Draw a case of each of some patients, spread over strata.

    Patients stand in line by stratum, in random order within it, and each n-th one is
    taken from a random start. So each patient has the same chance, and each stratum its
    share, to within one patient.

    Args:
        cases: All cases.
        count: Number of patients; all of them if there are fewer.
        strata: Columns of patients.csv.
        seed: Any text.

    Raises:
        DataError: If a case has no such column.
    """
    digest = hashlib.sha256(seed.encode()).digest()
    dice = np.random.default_rng(int.from_bytes(digest))
    own: dict[str, list[Case]] = defaultdict(list)
    for case in sorted(cases, key=lambda case: case.name):
        own[case.patient].append(case)
    patients = sorted(own)
    groups: dict[tuple[str, ...], list[Case]] = defaultdict(list)
    for number in dice.permutation(len(patients)):
        of_patient = own[patients[number]]
        case = of_patient[dice.integers(len(of_patient))]
        groups[stratum_of(case, strata)].append(case)
    line = [case for group in groups.values() for case in group]
    count = min(count, len(line))
    if not count:
        return []
    step = len(line) / count
    start = dice.random() * step
    return [line[min(int(start + n * step), len(line) - 1)].name for n in range(count)]


def stratum_of(case: Case, strata: Sequence[str]) -> tuple[str, ...]:
    """The values of a case in some columns of patients.csv.

    Raises:
        DataError: If it has no such column.
    """
    for column in strata:
        if column not in case.attributes:
            raise DataError(
                f"review.yaml, cases.strata: expected columns of patients.csv, found "
                f"{column}, which {case.name} does not have (it has "
                f"{', '.join(case.attributes) or 'none'}); correct the name, add the "
                "column, or write strata: []"
            )
    return tuple(case.attributes[column] for column in strata)


def count_repeats(fraction: float, cases: int) -> int:
    """How many cases are shown again: at least one unless the fraction is 0."""
    return math.ceil(round(fraction * cases, 6))
