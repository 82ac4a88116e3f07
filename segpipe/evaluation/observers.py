"""Observers: how well people agree with the reference, as the bar for the models."""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segpipe.dataset.case import Case, CaseList, read_cases
from segpipe.dataset.case_files import read_case_label, read_observer_labels
from segpipe.dataset.split import read_split
from segpipe.evaluation.measures.metrics import dice
from segpipe.evaluation.scores import mean_known
from segpipe.project.paths import Paths


@dataclass(frozen=True)
class Agreement:
    """How well another person's labels agree with the reference on the test cases.

    Attributes:
        observer: Name of the person, as in the data folder.
        cases: Number of test cases that the person drew.
        dice: Mean Dice over these cases and structures.
        structures: Mean Dice of each structure.
    """

    observer: str
    cases: int
    dice: float
    structures: dict[str, float]


def find_agreements(paths: Paths) -> list[Agreement]:
    """Compare the labels of each observer with the reference, as a model's are.

    Voxels that one of the two did not annotate do not count.

    Returns:
        The agreements by the name of the observer; empty if one person drew the data.

    Raises:
        DataError: If the stages verify and split have not run.
    """
    cases = read_cases(paths.artifacts)
    scores: dict[str, list[list[float]]] = defaultdict(list)
    for name in read_split(paths.artifacts).test:
        for observer, found in _compare(paths.data, cases, cases[name]).items():
            scores[observer].append(found)
    return [
        Agreement(
            observer,
            len(found),
            mean_known(np.ravel(found).tolist()),
            {
                name: mean_known([row[place] for row in found])
                for place, name in enumerate(cases.structures[1:])
            },
        )
        for observer, found in sorted(scores.items())
    ]


def _compare(data: Path, cases: CaseList, case: Case) -> dict[str, list[float]]:
    """Dice of each structure by observer."""
    others = read_observer_labels(data, cases, case)
    if not others:
        return {}
    reference = read_case_label(data, cases, case).array
    legend, found = cases.legend, {}
    for observer, label in others.items():
        known = (reference != cases.ignore) & (label.array != cases.ignore)
        found[observer] = [
            dice(
                legend.mask(reference, number) & known,
                legend.mask(label.array, number) & known,
            )
            for number in range(1, len(legend.structures))
        ]
    return found
