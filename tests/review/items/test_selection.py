"""Random cases have equal chances and are spread; the worst are all seen."""

from collections import Counter

import pytest

from segpipe.dataset.case import Case
from segpipe.project.errors import DataError
from segpipe.review.items.selection import choose_cases, count_repeats, draw_random


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


def test_both_strata_are_there_and_the_worst_are_among_them() -> None:
    goodness = {f"c{n:02d}": n / 20 for n in range(20)}
    chosen = choose_cases(
        cases(20), goodness, worst=3, at_random=5, strata=[], seed="s"
    )

    strata = Counter(one.stratum for one in chosen)
    assert strata == {"random": 5, "worst": 3}
    assert {1, 2, 3} <= {one.rank for one in chosen}
    assert len({one.case for one in chosen}) == 8
    again = choose_cases(cases(20), goodness, worst=3, at_random=5, strata=[], seed="s")
    assert chosen == again


def test_an_unknown_column_is_named() -> None:
    with pytest.raises(DataError, match=r"scanner, which .* site"):
        draw_random(cases(3), 1, strata=["scanner"], seed="a")


@pytest.mark.parametrize(
    ("fraction", "count", "repeats"),
    [(0.1, 40, 4), (0.1, 3, 1), (0.0, 9, 0), (1.0, 5, 5)],
)
def test_a_tenth_is_repeated(fraction: float, count: int, repeats: int) -> None:
    assert count_repeats(fraction, count) == repeats
