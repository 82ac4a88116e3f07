"""Bounds and kappa against published numbers, scipy and scikit-learn."""

import math

import numpy as np
import pytest
from scipy.stats import binom, binomtest
from sklearn.metrics import cohen_kappa_score

from segpipe.review.statistics import (
    Scored,
    Weights,
    between_readers,
    kappa,
    rate,
    within_readers,
)


@pytest.mark.parametrize(("cases", "percent"), [(30, 9.5), (60, 4.9)])
def test_none_of_n_bounds_the_rate_as_published(cases: int, percent: float) -> None:
    assert round(100 * rate(0, cases).high, 1) == percent
    assert rate(0, cases).low == 0
    assert rate(cases, cases).low == pytest.approx(1 - rate(0, cases).high)


@pytest.mark.parametrize(("count", "cases"), [(1, 30), (7, 20), (19, 20)])
def test_between_none_and_all_it_is_clopper_pearson(count: int, cases: int) -> None:
    found = rate(count, cases)

    exact = binomtest(count, cases).proportion_ci(0.95, method="exact")
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high))


def test_the_upper_end_holds_for_every_share_and_both_ends_nearly_so() -> None:
    """Summed over the binomial; the chance is least beside an end of an interval."""
    lowest = 1.0
    for cases in (1, 2, 5, 10, 30, 50, 60):
        intervals = [rate(count, cases) for count in range(cases + 1)]
        low, high = np.array([(one.low, one.high) for one in intervals]).T
        shares = np.concatenate([low, high])[:, None] + [-1e-7, 1e-7]
        shares = shares[(shares > 0) & (shares < 1)][:, None]
        chances = binom.pmf(np.arange(cases + 1), cases, shares)

        assert (chances * (high >= shares)).sum(axis=1).min() > 0.95 - 1e-5
        both = (chances * ((low <= shares) & (shares <= high))).sum(axis=1)
        lowest = min(lowest, both.min())
    assert lowest == pytest.approx(0.925, abs=0.0005)


def test_nothing_read_bounds_nothing() -> None:
    assert (rate(0, 0).low, rate(0, 0).high) == (0, 1)
    assert math.isnan(rate(0, 0).share)


def scores(seed: int = 0, cases: int = 40) -> tuple[list[int], list[int], list[str]]:
    rng = np.random.default_rng(seed)
    first = rng.integers(1, 5, cases)
    second = np.clip(first + rng.integers(-1, 2, cases), 1, 4)
    return first.tolist(), second.tolist(), [f"c{n}" for n in range(cases)]


@pytest.mark.parametrize(
    ("weights", "theirs"),
    [("none", None), ("linear", "linear"), ("quadratic", "quadratic")],
)
def test_kappa_is_that_of_scikit_learn(weights: Weights, theirs: str | None) -> None:
    first, second, cases = scores()

    found = kappa(first, second, cases, weights=weights)
    right = cohen_kappa_score(first, second, labels=[1, 2, 3, 4], weights=theirs)
    assert found.value == pytest.approx(right)
    assert found.low < found.value < found.high


def test_the_interval_is_as_wide_as_kappa_spreads() -> None:
    """The spread over many samples is known without a formula for it."""
    found = [kappa(*scores(seed), weights="linear") for seed in range(80)]

    spread = np.std([one.value for one in found])
    reach = np.mean([one.high - one.low for one in found]) / 2
    assert reach == pytest.approx(2.02 * spread, rel=0.25)


def test_structures_of_a_case_are_no_further_cases() -> None:
    first, second, cases = scores(cases=20)

    single = kappa(first, second, cases, weights="linear")
    thrice = kappa(first * 3, second * 3, cases * 3, weights="linear")
    assert (thrice.low, thrice.high) == pytest.approx((single.low, single.high))
    assert (thrice.pairs, thrice.cases) == (60, 20)


def test_full_agreement_on_few_cases_proves_little() -> None:
    few = kappa([1, 2, 3], [1, 2, 3], list("abc"), weights="none")
    many = kappa(
        [1, 2, 3] * 30, [1, 2, 3] * 30, list(map(str, range(90))), weights="none"
    )

    assert few.value == many.value == few.high == 1
    assert few.low < 0.5 < 0.9 < many.low
    assert math.isnan(kappa([4, 4], [4, 4], ["a", "b"], weights="none").value)


def test_readers_are_compared_on_what_both_saw_and_with_themselves() -> None:
    given = [
        Scored(reader, case, case, "A liver", score)
        for reader, own in {"ann": (1, 2, 4, 3), "bob": (1, 2, 3, 3)}.items()
        for case, score in zip("wxyz", own, strict=True)
    ]
    again = [
        Scored("ann", "w", "w2", "A liver", 1),
        Scored("ann", "x", "x2", "A liver", 3),
    ]

    both = between_readers([*given, *again], weights="none")
    own = within_readers([*given, *again], {"w2": "w", "x2": "x"}, weights="none")
    assert both.keys() == {("ann", "bob")}
    right = cohen_kappa_score([1, 2, 4, 3], [1, 2, 3, 3])
    assert both["ann", "bob"].value == pytest.approx(right)
    assert own.keys() == {"ann"}
    assert own["ann"].value == pytest.approx(cohen_kappa_score([1, 2], [1, 3]))
