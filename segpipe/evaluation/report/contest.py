"""Contest: the differences between models by patient, and which model is better."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from segpipe.evaluation.differences import (
    Difference,
    by_patient,
    judge_differences,
    pair_scores,
    patients_needed,
    power_in_words,
)
from segpipe.evaluation.report.page import Part, Row, Table

PAIRS_SHOWN = 15  # in the open: of six models
ABSENT = "\N{EN DASH}"


@dataclass(frozen=True)
class Contest:
    """The mean Dice of each two models, compared by patient.

    Attributes:
        pairs: Two models to the judged difference, first minus second.
        best: The model that is better than every other one beyond chance; None if
            there is none.
    """

    pairs: dict[tuple[str, str], Difference]
    best: str | None


def compare_models(
    scores: dict[str, dict[str, Float64[np.ndarray, " case"]]],
    patients: Sequence[str],
    *,
    baselines: Sequence[str] = (),
) -> Contest:
    """Compare each two models on the same patients; or each with each baseline.

    Args:
        scores: Structure to model to the Dice of each test case; NaN where rightly
            nothing was found.
        patients: Patient of each test case.
        baselines: Those of the models that are baselines, if they are what to compare
            with; they are a family of their own, and change no verdict among models.
    """
    models = list(next(iter(scores.values())))
    dice = {
        model: np.concatenate([of[model] for of in scores.values()]) for model in models
    }
    repeated = [*patients] * len(scores)
    pairs = judge_differences(
        {
            (one, other): by_patient(pair_scores(dice[one], dice[other]), repeated)
            for one, other in (
                itertools.product([m for m in models if m not in baselines], baselines)
                if baselines
                else itertools.combinations(models, 2)
            )
        }
    )
    wins = {
        model: [
            found.low > 0 if model == one else found.high < 0
            for (one, other), found in pairs.items()
            if model in (one, other)
        ]
        for model in models
        if np.nansum(dice[model]) > 0
    }
    best = [model for model, won in wins.items() if won and all(won)]
    return Contest(pairs, best[0] if best else None)


def build_pairs(
    contest: Contest, *, heading: str = "Is the difference real?"
) -> list[Part]:
    """Build a table of the differences between models; empty for one model.

    Those of many models are folded, with the ones that are real on top.
    """
    if not contest.pairs:
        return []
    rows, behind = [], ""
    for (one, other), found in contest.pairs.items():
        better = one if found.low > 0 else other if found.high < 0 else ABSENT
        known = math.isfinite(found.low)
        rows.append(
            Row(
                (
                    f"{one} against {other}",
                    str(found.patients),
                    _signed(found.mean),
                    f"{_signed(found.low)} to {_signed(found.high)}"
                    if known
                    else "too few patients",
                    in_digits(found.visible, 3),
                    better,
                ),
                best=(5,) if found.different else (),
            )
        )
    columns = (
        "",
        "Patients",
        "Difference of Dice",
        "95 % interval",
        "Seen 4 times in 5 from",
        "Better",
    )
    if len(rows) > PAIRS_SHOWN:
        rows.sort(key=lambda row: not row.best)  # and else in their order
        real = sum(bool(row.best) for row in rows)
        behind = f"All {len(rows)} comparisons; in {real} of them a model is better"
    table = Table(columns, tuple(rows), behind)
    return [Part(heading, _explain(contest), table)]


def _explain(contest: Contest) -> str:
    """Say how the pairs were compared, and what could have been seen."""
    count = len(contest.pairs)
    corrected = f", corrected for the {count} comparisons (Holm)" if count > 1 else ""
    patients = min(found.patients for found in contest.pairs.values())
    needed = patients_needed(count)
    power = power_in_words(contest.pairs.values())
    if patients < needed:
        several = f"{count} comparisons need" if count > 1 else "a comparison needs"
        power = (
            f"To call a difference real, {several} at least {needed} patients; "
            f"there are {patients}."
        )
    return (
        "Mean difference of Dice over the same test patients, each of whom counts "
        "once, with the interval of the exact sign-flip permutation test"
        f"{corrected}. A model is called better only if the interval excludes 0; that "
        f"says nothing about other seeds or other data. {power}"
    )


def _signed(value: float) -> str:
    return ABSENT if math.isnan(value) else f"{value:+.3f}"


def in_digits(value: float | None, digits: int) -> str:
    """A figure with some digits after the point; a dash where it is not known."""
    return ABSENT if value is None or math.isnan(value) else f"{value:.{digits}f}"
