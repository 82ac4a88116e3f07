"""Ranking: the Dice of every test case, and which cases and structures are shown."""

import math

import numpy as np

from segpipe.dataset.case import CaseList
from segpipe.dataset.split import Split
from segpipe.evaluation.report.page import CASES, Part, Picture
from segpipe.evaluation.report.plots import plot_cases
from segpipe.evaluation.report.tables import Evaluated
from segpipe.evaluation.scores import mean_known

Scores = dict[str, dict[str, np.ndarray]]
PANELS = 8  # structures that a picture shows


def score_cases(
    evaluated: dict[str, Evaluated], cases: CaseList, split: Split
) -> Scores:
    """Structure to model to the Dice of each test case, NaN where absent."""
    return {
        structure: {
            model: np.array(
                [of_model.rows[case, structure]["dice"] for case in split.test]
            )
            for model, of_model in evaluated.items()
        }
        for structure in cases.structures[1:]
    }


def mean_dice(scores: Scores, place: int) -> float:
    """Mean Dice of a case over structures and models; NaN if all are absent."""
    found = [
        values[place] for of_models in scores.values() for values in of_models.values()
    ]
    return mean_known(found)


def rank_cases(scores: Scores, split: Split) -> list[str]:
    """Test cases, the worst first, without those that have no structure."""
    means = {case: mean_dice(scores, place) for place, case in enumerate(split.test)}
    known = [case for case, mean in means.items() if not math.isnan(mean)]
    return sorted(known, key=lambda case: (means[case], case))


def choose_shown(ranked: list[str]) -> list[tuple[str, str]]:
    """The cases to show, none of them twice."""
    if len(ranked) < 2:
        return [("Only", case) for case in ranked]
    chosen = [("Worst", ranked[0]), ("Best", ranked[-1])]
    if len(ranked) > 2:
        chosen.insert(1, ("Median", ranked[len(ranked) // 2]))
    return chosen


def worst_structures(scores: Scores) -> list[str]:
    """The structures with the lowest mean Dice, as many as a picture can show."""
    means = {
        name: mean_known(np.ravel(list(of_models.values())).tolist())
        for name, of_models in scores.items()
    }
    ranked = sorted(scores, key=lambda name: (math.isnan(means[name]), means[name]))
    chosen = set(ranked[:PANELS])
    return [name for name in scores if name in chosen]


def build_cases(drawn: list[str], scores: Scores) -> Part:
    """The part with a picture of the Dice of every test case."""
    text = "A dot is a case; grey lines join the dots of a case; the bar is the median."
    if len(drawn) < len(scores):
        text += (
            f" Of {len(scores)} structures the {len(drawn)} with the lowest mean Dice "
            "are drawn here and below; the table above has all of them."
        )
    picture = plot_cases({name: scores[name] for name in drawn})
    return Part(
        "Every test case",
        text,
        pictures=(Picture(CASES, picture, "Dice of every test case by model"),),
    )
