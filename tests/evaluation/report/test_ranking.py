"""Which cases and structures a report shows: by hand."""

import numpy as np
import pytest

from segpipe.dataset.split import Split
from segpipe.evaluation.report.ranking import (
    PANELS,
    choose_shown,
    mean_dice,
    rank_cases,
    worst_structures,
)

NAN = np.nan


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, []),
        (1, ["Only"]),
        (2, ["Worst", "Best"]),
        (3, ["Worst", "Median", "Best"]),
        (7, ["Worst", "Median", "Best"]),
    ],
)
def test_no_case_is_shown_twice(count: int, expected: list[str]) -> None:
    chosen = choose_shown([str(n) for n in range(count)])

    assert [why for why, _ in chosen] == expected
    assert len({case for _, case in chosen}) == len(chosen)


def test_cases_are_ranked_by_their_mean_and_those_without_a_structure_left_out() -> (
    None
):
    scores = {
        "liver": {
            "one": np.array([0.75, 0.25, NAN, 0.5]),
            "two": np.array([0.5, 0.5, NAN, 0.25]),
        },
        "tumour": {
            "one": np.array([NAN, 0.75, NAN, 0.375]),
            "two": np.array([NAN, 0.0, NAN, 0.375]),
        },
    }
    split = Split(format_version=1, folds=(), test=("a", "b", "c", "d"))

    assert mean_dice(scores, 0) == 0.625
    assert mean_dice(scores, 1) == 0.375
    assert rank_cases(scores, split) == ["b", "d", "a"]  # equal means by name


def test_the_structures_with_the_lowest_means_are_drawn_in_their_own_order() -> None:
    scores = {f"s{n}": {"one": np.array([1 - n / 100, NAN])} for n in range(PANELS + 2)}

    assert worst_structures(scores) == [f"s{n}" for n in range(2, PANELS + 2)]
