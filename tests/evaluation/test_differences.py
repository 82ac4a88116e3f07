"""A difference is real by the exact test, and equal models are rarely different."""

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from benchmarks.differences import draw_scores, pass_gate, permute
from segpipe.evaluation.differences import (
    LEVEL,
    by_patient,
    chance,
    holm,
    interval,
    judge_differences,
    pair_scores,
    patients_needed,
    power_in_words,
    subset_means,
)

NAN = math.nan
SAMPLES = {
    "two": [0.1, 0.2],
    "five of one sign": [0.01, 0.02, 0.03, 0.04, 0.05],
    "six of one sign": [0.01, 0.02, 0.03, 0.04, 0.05, 0.06],
    "ties and zeros": [0.0, 0.0, 0.01, 0.01, -0.01, 0.02, 0.0],
    "tenths, which are no sums of powers of 2": [0.1, 0.2, -0.3, 0.3, 0.1, 0.2, -0.1],
    "a failure": [0.02, 0.01, 0.03, 0.02, -0.9, 0.01, 0.02, 0.03],
    "mostly worse": [-0.05, -0.02, 0.01, -0.04, -0.03, -0.06, -0.02, -0.01, -0.07],
    "nothing": [0.0] * 7,
    "all alike": [0.25] * 7,
}


def scipy_chance(values: np.ndarray) -> float:
    """All sign patterns by another library."""
    test = stats.permutation_test(
        (values,), np.sum, permutation_type="samples", n_resamples=np.inf
    )
    return float(test.pvalue)


@pytest.mark.parametrize("values", SAMPLES.values(), ids=SAMPLES)
def test_the_probability_is_that_of_scipys_permutation_test(
    values: list[float],
) -> None:
    array = np.array(values)

    assert chance(subset_means(array)) == pytest.approx(scipy_chance(array))


@pytest.mark.parametrize("values", SAMPLES.values(), ids=SAMPLES)
def test_the_interval_holds_what_scipys_test_does_not_exclude(
    values: list[float],
) -> None:
    array = np.array(values)
    low, high = interval(subset_means(array), LEVEL)

    if len(values) < 6:
        assert (low, high) == (-math.inf, math.inf)
        return
    for end, outwards in ((low, -1e-6), (high, 1e-6)):
        assert scipy_chance(array - end - outwards) <= LEVEL
        assert scipy_chance(array - end + outwards) > LEVEL or low == high


def test_many_patients_agree_with_student_and_turn_with_the_sign() -> None:
    values = np.random.default_rng(3).normal(0.01, 0.04, 60)
    found = judge_differences({"a": values})["a"]
    turned = judge_differences({"a": -values})["a"]

    student = stats.ttest_1samp(values, 0)
    ends = student.confidence_interval()
    assert found.p == pytest.approx(student.pvalue, abs=0.005)
    assert (found.low, found.high) == pytest.approx((ends.low, ends.high), abs=5e-4)
    assert (turned.low, turned.high) == (-found.high, -found.low)
    assert judge_differences({"a": values})["a"] == found


def test_holm_is_that_of_r_and_each_level_decides_as_it_does() -> None:
    """p.adjust(c(.01, .02, .03, .04, .05), "holm") of R."""
    chances = np.array([0.02, 0.01, 0.05, 0.03, 0.04])
    adjusted, _ = holm(chances)
    assert adjusted == pytest.approx([0.08, 0.05, 0.09, 0.09, 0.09])

    for chances in np.random.default_rng(0).uniform(0, 0.08, (50, 5)):
        adjusted, levels = holm(chances)
        assert np.array_equal(adjusted <= LEVEL, chances <= levels)


def test_an_interval_excludes_0_where_the_corrected_probability_is_small() -> None:
    rng = np.random.default_rng(1)
    family = {f"{n}": rng.normal(n / 100, 0.03, 12) for n in range(8)}
    found = judge_differences(family)

    assert {one.different for one in found.values()} == {True, False}
    for one in found.values():
        assert one.different == (one.p <= LEVEL)


@pytest.mark.parametrize(
    ("comparisons", "patients"), [(1, 6), (2, 7), (3, 7), (15, 10), (30, 11), (100, 12)]
)
def test_fewer_patients_than_needed_get_no_verdict_however_far_apart(
    comparisons: int, patients: int
) -> None:
    """2 / 2^n is the smallest probability."""
    assert patients_needed(comparisons) == patients
    assert 2 / 2**patients <= LEVEL / comparisons < 2 / 2 ** (patients - 1)
    for count in (patients - 1, patients):
        gains = {n: np.linspace(0.8, 0.9, count) for n in range(comparisons)}
        found = judge_differences(gains)
        assert found[0].different == (count == patients)


def test_what_is_too_rare_to_be_judged_costs_the_others_nothing() -> None:
    clear = np.linspace(0.1, 0.2, 6)
    rare = {f"rare {n}": np.full(5, 0.5) for n in range(20)}
    found = judge_differences({"clear": clear, **rare})

    assert found["clear"] == judge_differences({"clear": clear})["clear"]
    assert not found["rare 0"].different


def test_a_patient_counts_once_and_what_is_rightly_absent_counts() -> None:
    one = np.array([0.9, NAN, 0.8, NAN, 0.5])
    other = np.array([0.8, NAN, 0.6, 0.0, NAN])
    differences = pair_scores(one, other)

    assert differences == pytest.approx([0.1, NAN, 0.2, 1.0, -0.5], nan_ok=True)
    found = by_patient(differences, ["a", "b", "a", "c", "a"])
    assert found == pytest.approx([(0.1 + 0.2 - 0.5) / 3, 1.0])


@pytest.mark.parametrize("patients", [6, 7, 9, 12])
def test_the_visible_difference_is_seen_4_times_in_5(patients: int) -> None:
    noise = np.random.default_rng(patients).normal(0, 0.05, (2000, patients, 1))
    spread = np.linspace(-1, 1, patients)
    spread *= 0.05 / spread.std(ddof=1)
    found = judge_differences({"a": spread})["a"]

    seen = permute(noise + found.visible) <= LEVEL
    assert seen.mean() == pytest.approx(0.8, abs=0.06)
    assert power_in_words([found]) == (
        f"With {patients} patients a difference of {found.visible:.3f} would be seen "
        "about 4 times in 5."
    )


def test_the_visible_difference_of_many_is_cohens() -> None:
    """A paired t-test of 34 with an effect of 0.5 has power 0.808 (G*Power 3.1)."""
    values = np.linspace(-1, 1, 34)
    values /= values.std(ddof=1)
    found = judge_differences({"a": values})["a"]

    assert found.visible == pytest.approx(0.5, abs=0.01)
    assert math.isnan(judge_differences({"a": np.zeros(34)})["a"].visible)
    assert power_in_words(judge_differences({"a": np.ones(3)}).values()) == ""


# Patients, scans of each, models, structures compared one by one.
EQUAL = [
    (2, 1, 2, 1),
    (3, 1, 2, 1),
    (5, 1, 2, 1),
    (10, 1, 2, 1),
    (6, 5, 2, 1),
    (10, 1, 6, 1),
    (9, 1, 2, 8),
]


@pytest.mark.parametrize(("patients", "scans", "models", "structures"), EQUAL)
def test_equal_models_are_called_different_at_most_once_in_20(
    patients: int, scans: int, models: int, structures: int
) -> None:
    """The bootstrap of cases did so in 52, 25, 19, 12, 41 and 49 % of the first six."""
    rng = np.random.default_rng([patients, scans, models, structures])
    draws = 150
    size: dict[str, Any] = {"patients": patients, "scans": scans, "models": models}
    dice = [draw_scores(rng, draws, **size) for _ in range(structures)]
    names = np.repeat(np.arange(patients).astype(str), scans).tolist()
    wrong = 0
    for draw in range(draws):
        family = {
            (structure, one, other): by_patient(
                pair_scores(of[draw, one].ravel(), of[draw, other].ravel()), names
            )
            for structure, of in enumerate(dice)
            for one in range(models)
            for other in range(one)
        }
        wrong += any(one.different for one in judge_differences(family).values())

    assert wrong / draws <= LEVEL + 2 * math.sqrt(LEVEL * (1 - LEVEL) / draws)


@pytest.mark.parametrize("structures", [1, 30])
def test_a_simulated_family_is_judged_as_a_real_one(structures: int) -> None:
    """The tables of docs/decisions/0012 come from a faster form of the rules."""
    rng = np.random.default_rng(structures)
    drawn = rng.normal(-0.01, 0.02, (20, 11, structures))
    drawn -= 0.03 * (np.arange(structures) == 3)

    for one, chances, passed in zip(
        drawn, permute(drawn), pass_gate(drawn), strict=True
    ):
        family = judge_differences(dict(enumerate(one.T)))
        low = judge_differences({0: one.mean(axis=1)})[0].low
        worse = [of.high < 0 and of.mean < -0.01 for of in family.values()]
        assert holm(chances)[0] == pytest.approx([of.p for of in family.values()])
        assert passed == (low >= -0.02 and not any(worse))
