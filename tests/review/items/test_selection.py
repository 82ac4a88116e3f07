"""Random cases have equal chances and are spread; the worst are all seen."""

from collections import Counter

import numpy as np
import pytest
from scipy.stats import chisquare, hypergeom

from segpipe.dataset.case import Case
from segpipe.project.errors import DataError
from segpipe.review.items.selection import (
    Chosen,
    choose_cases,
    count_repeats,
    draw_random,
)
from segpipe.review.statistics import rate


def cases(count: int, *, patients: int | None = None, sites: int = 3) -> list[Case]:
    return [
        Case(
            name=f"c{n:02d}",
            patient=f"p{n % (patients or count):02d}",
            images=(),
            label="",
            instances=None,
            shape=(1, 1, 1),
            spacing=(1.0, 1.0, 1.0),
            attributes={"site": str(n % sites)},
            warnings=(),
        )
        for n in range(count)
    ]


def test_each_case_has_the_same_chance() -> None:
    found = Counter(
        name
        for seed in range(2000)
        for name in draw_random(cases(10), 4, strata=["site"], seed=str(seed))
    )

    assert len(found) == 10
    assert all(abs(count - 800) < 110 for count in found.values())


@pytest.mark.parametrize("seed", ["a", "b", "c"])
def test_each_stratum_has_its_share(seed: str) -> None:
    drawn = draw_random(cases(30), 10, strata=["site"], seed=seed)

    sites = Counter(int(name[1:]) % 3 for name in drawn)
    assert len(set(drawn)) == 10
    assert sorted(sites.values()) in ([3, 3, 4], [2, 4, 4])


def test_random_cases_are_of_different_patients() -> None:
    drawn = draw_random(cases(12, patients=4), 12, strata=[], seed="a")

    assert len({int(name[1:]) % 4 for name in drawn}) == len(drawn) == 4


def choose(
    count: int,
    *,
    worst: int,
    at_random: int,
    seed: str = "s",
    patients: int | None = None,
    upwards: bool = True,
) -> list[Chosen]:
    """Cases whose figures rise with their numbers, or fall."""
    goodness = {f"c{n:02d}": float(n if upwards else -n) for n in range(count)}
    return choose_cases(
        cases(count, patients=patients),
        goodness,
        worst=worst,
        at_random=at_random,
        strata=[],
        seed=seed,
    )


def is_worst(one: Chosen) -> bool:
    return one.stratum == "worst" or one.also_worst


@pytest.mark.parametrize(
    ("count", "patients", "worst", "at_random"),
    [
        (20, 20, 3, 5),
        (14, 14, 10, 30),  # fewer patients than random cases: all of them are drawn
        (6, 6, 10, 30),  # and fewer cases than the worst
        (12, 4, 3, 30),
        (1, 1, 1, 1),
    ],
)
def test_both_strata_are_always_whole_and_no_case_is_read_twice(
    count: int, patients: int, worst: int, at_random: int
) -> None:
    chosen = choose(count, worst=worst, at_random=at_random, patients=patients)

    ranks = sorted(one.rank for one in chosen if is_worst(one))
    assert ranks == list(range(1, min(worst, count) + 1))
    drawn = sum(one.stratum == "random" for one in chosen)
    assert drawn == min(at_random, patients)
    assert len({one.case for one in chosen}) == len(chosen)
    assert chosen == choose(count, worst=worst, at_random=at_random, patients=patients)


def test_figures_of_the_cases_do_not_change_who_is_drawn() -> None:
    for seed in map(str, range(20)):
        drawn = [
            {one.case for one in chosen if one.stratum == "random"}
            for chosen in (
                choose(20, worst=5, at_random=8, seed=seed, upwards=upwards)
                for upwards in (True, False)
            )
        ]
        assert drawn[0] == drawn[1]


def test_the_bound_of_the_random_cases_holds_though_the_worst_are_read_as_well() -> (
    None
):
    """6 of 40 cases are unacceptable, which are the worst; 10 and 5 of 40 are chosen.

    A sample without a choice has a hypergeometric number of them. The share of all that
    is read, random and worst, would be twice the truth.
    """
    count, bad, size, draws = 40, 6, 10, 500
    found: Counter[int] = Counter()
    pooled = []
    for seed in range(draws):
        chosen = choose(count, worst=5, at_random=size, seed=str(seed))
        found[sum(one.rank <= bad for one in chosen if one.stratum == "random")] += 1
        pooled.append(np.mean([one.rank <= bad for one in chosen]))

    counts = np.arange(bad + 1)
    expected = hypergeom(count, bad, size).pmf(counts) * draws
    seen = np.array([found[n] for n in counts])
    rare = expected < 5
    assert (
        chisquare(
            [*seen[~rare], seen[rare].sum()], [*expected[~rare], expected[rare].sum()]
        ).pvalue
        > 0.01
    )
    covered = sum(found[n] for n in counts if rate(int(n), size).high >= bad / count)
    assert covered / draws >= 0.95
    assert np.mean(pooled) > 1.5 * bad / count


def test_an_unknown_column_is_named() -> None:
    with pytest.raises(DataError, match=r"scanner, which .* site"):
        draw_random(cases(3), 1, strata=["scanner"], seed="a")


@pytest.mark.parametrize(
    ("fraction", "count", "repeats"),
    [(0.1, 40, 4), (0.1, 3, 1), (0.0, 9, 0), (1.0, 5, 5)],
)
def test_a_tenth_is_repeated(fraction: float, count: int, repeats: int) -> None:
    assert count_repeats(fraction, count) == repeats
