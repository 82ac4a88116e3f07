"""The gate: known answers for every figure, and each reason once."""

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from segpipe.registry.gate.comparison import Rule
from segpipe.registry.gate.judge import estimate
from tests.support.comparisons import (
    RULE,
    compared,
    pair,
    shifted,
)


def test_a_patient_with_many_cases_counts_once() -> None:
    """Three cases of one patient at +0.1, one of the other at -0.3: the mean is -0.1,
    not 0."""
    pairs = [pair(f"a{n}", 0.6, 0.5) for n in range(3)] + [pair("b", 0.5, 0.8)]
    patients = {"a0": "a", "a1": "a", "a2": "a", "b": "b"}

    found = estimate(pairs, patients)

    assert found.patients == 2
    assert found.candidate == pytest.approx((0.6 + 0.5) / 2)
    assert found.champion == pytest.approx((0.5 + 0.8) / 2)
    assert found.difference == pytest.approx((0.1 - 0.3) / 2)
    # Of two, the bootstrap draws one twice in a quarter of the times each.
    assert (found.low, found.high) == pytest.approx((-0.3, 0.1))


def test_the_interval_is_that_of_scipys_bootstrap() -> None:
    differences = np.random.default_rng(3).normal(0, 0.04, 25)
    found = estimate(
        shifted(differences.tolist()), {f"p{n}": str(n) for n in range(25)}
    )

    other = stats.bootstrap(
        (differences,), np.mean, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    assert found.low == pytest.approx(other.low, abs=0.001)
    assert found.high == pytest.approx(other.high, abs=0.001)


def test_what_is_absent_for_both_counts_for_nobody() -> None:
    pairs = [*shifted([0.0, 0.01, 0.02]), pair("healthy", None, None)]
    found = compared(pairs)

    assert found.overall.patients == 3
    assert found.accepted
    assert math.isnan(pairs[-1].difference)


def test_what_only_the_candidate_invents_is_a_loss_and_a_failure() -> None:
    """NaN against 0 would vanish from a mean of differences."""
    invented = pair("healthy", 0.0, None)
    found = compared([*shifted([0.0] * 4), invented])

    assert invented.difference == -1
    assert found.overall.difference == pytest.approx(-1 / 5)
    assert found.new_failures == [invented]
    assert (
        "0 structures of cases missed, 1 found that are absent" in (found.reasons[-1])
    )


def test_what_only_the_champion_invents_is_a_gain() -> None:
    found = compared([*shifted([0.0] * 4), pair("healthy", None, 0.0)])

    assert found.overall.difference == pytest.approx(1 / 5)
    assert found.accepted
    assert len(found.mended) == 1


def test_an_equal_segmenter_is_not_worse() -> None:
    found = compared(shifted([0.0] * 5))

    assert (found.overall.low, found.overall.high) == (0, 0)
    assert found.accepted
    assert found.reasons == ()


def test_a_better_one_is_accepted() -> None:
    assert compared(shifted([0.05, 0.02, 0.04, 0.01])).accepted


def test_an_interval_below_the_margin_is_a_reason() -> None:
    """Better on the mean, but a patient lost so much that nobody can be sure."""
    found = compared(shifted([0.1, 0.1, 0.1, -0.2]))

    assert found.overall.difference == pytest.approx(0.025)
    (reason,) = found.reasons
    assert reason.startswith("The mean Dice may have fallen by more than the margin of")
    assert "+0.025" in reason
    assert "over 4 patients" in reason
    assert compared(shifted([0.1, 0.1, 0.1, -0.2]), widened(margin=0.2)).accepted


def widened(**values: Any) -> Rule:
    return Rule.model_validate({**RULE.model_dump(), **values})


def test_a_structure_that_is_worse_beyond_chance_is_a_reason() -> None:
    """However much the others gain, and even within the margin."""
    loss = [-0.011, -0.012, -0.013, -0.014]
    pairs = [*shifted([0.1] * 4, "liver"), *shifted(loss, "vessel")]
    found = compared(pairs)

    assert found.overall.difference == pytest.approx((0.1 - 0.0125) / 2)
    (reason,) = found.reasons
    assert reason.startswith("vessel is worse beyond chance: its Dice differs by -0.01")
    assert compared(pairs, widened(structure_margin=0.02)).accepted


def test_a_missed_structure_is_a_reason_however_good_the_mean() -> None:
    pairs = [*shifted([0.2] * 99), pair("bad", 0.0, 0.1)]
    found = compared(pairs)

    assert found.overall.low is not None
    assert found.overall.low > 0
    assert found.reasons == (
        "The candidate fails where the champion does not: 1 structures of cases "
        "missed, 0 found that are absent (liver 1); 0 allowed.",
    )
    assert compared(pairs, widened(new_failures=1)).accepted


def test_what_both_miss_is_no_new_failure() -> None:
    found = compared([*shifted([0.0] * 4), pair("hard", 0.0, 0.0)])

    assert found.accepted
    assert found.new_failures == []


def test_too_few_patients_decide_nothing() -> None:
    found = compared(shifted([0.1, 0.1]))
    cases_of_one = compared(
        shifted([0.1] * 9), patients=dict.fromkeys(map("p{}".format, range(9)), "x")
    )

    assert found.reasons == (
        "Only 2 patients can be compared, too few to judge by: at least 3 are "
        "expected.",
    )
    assert cases_of_one.overall.patients == 1
    assert cases_of_one.overall.low is None
    assert not cases_of_one.accepted
    assert not compared([]).accepted


@pytest.mark.parametrize(
    ("patients", "equal", "at_the_margin"),
    [(5, 0.35, 0.12), (10, 0.35, 0.12), (30, 0.7, 0.05)],
)
def test_the_rule_lets_no_loss_through_and_most_equals_with_many_patients(
    patients: int, equal: float, at_the_margin: float
) -> None:
    """Differences of single patients with deviation 0.04; docs/decisions/0012."""
    rng = np.random.default_rng(0)

    def accepted(loss: float, tries: int) -> float:
        drawn = rng.normal(-loss, 0.04, (tries, patients)).tolist()
        return float(np.mean([compared(shifted(one)).accepted for one in drawn]))

    assert accepted(0.0, 60) >= equal - 0.15
    assert accepted(0.02, 60) <= at_the_margin + 0.08
    assert accepted(0.05, 60) <= 0.02
