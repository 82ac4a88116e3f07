"""The gate: known answers for every figure, and each reason once."""

import math
import re
from typing import Any

import numpy as np
import pytest
from scipy import stats

from benchmarks.differences import draw_candidates, pass_gate
from segpipe.registry.gate.comparison import Rule
from segpipe.registry.gate.judge import estimate
from tests.support.comparisons import (
    RULE,
    compared,
    pair,
    shifted,
)
from tests.support.places import ROOT


def test_a_patient_with_many_cases_counts_once() -> None:
    """Three cases of one patient at +0.1, one of the other at -0.3: the mean is -0.1,
    not 0."""
    pairs = [pair(f"a{n}", 0.6, 0.5) for n in range(3)] + [pair("b", 0.5, 0.8)]
    patients = {"a0": "a", "a1": "a", "a2": "a", "b": "b"}

    found = estimate({"all": pairs}, patients)["all"]

    assert found.patients == 2
    assert found.candidate == pytest.approx((0.6 + 0.5) / 2)
    assert found.champion == pytest.approx((0.5 + 0.8) / 2)
    assert found.difference == pytest.approx((0.1 - 0.3) / 2)
    assert (found.low, found.high) == (None, None)  # two cannot say


def test_the_interval_ends_where_scipys_permutation_test_excludes() -> None:
    differences = np.random.default_rng(3).normal(0, 0.04, 9)
    names = {f"p{n}": str(n) for n in range(9)}
    found = estimate({"all": shifted(differences.tolist())}, names)["all"]

    for end, outwards in ((found.low, -1e-5), (found.high, 1e-5)):
        assert end is not None
        for step, excluded in ((outwards, True), (-outwards, False)):
            test = stats.permutation_test(
                (differences - end - step,), np.sum, permutation_type="samples"
            )
            assert (test.pvalue <= 0.05) == excluded


def test_what_is_absent_for_both_counts_for_nobody() -> None:
    pairs = [*shifted([0.0, 0.01, 0.02] * 2), pair("healthy", None, None)]
    found = compared(pairs)

    assert found.overall.patients == 6
    assert found.accepted
    assert math.isnan(pairs[-1].difference)


def test_what_only_the_candidate_invents_is_a_loss_and_a_failure() -> None:
    """NaN against 0 would vanish from a mean of differences."""
    invented = pair("healthy", 0.0, None)
    found = compared([*shifted([0.0] * 6), invented])

    assert invented.difference == -1
    assert found.overall.difference == pytest.approx(-1 / 7)
    assert found.new_failures == [invented]
    assert (
        "0 structures of cases missed, 1 found that are absent" in (found.reasons[-1])
    )


def test_what_only_the_champion_invents_is_a_gain() -> None:
    found = compared([*shifted([0.0] * 6), pair("healthy", None, 0.0)])

    assert found.overall.difference == pytest.approx(1 / 7)
    assert found.accepted
    assert len(found.mended) == 1


def test_an_equal_segmenter_is_not_worse() -> None:
    found = compared(shifted([0.0] * 6))

    assert (found.overall.low, found.overall.high) == (0, 0)
    assert found.accepted
    assert found.reasons == ()


def test_a_better_one_is_accepted() -> None:
    assert compared(shifted([0.05, 0.02, 0.04, 0.01, 0.03, 0.02])).accepted


def test_an_interval_below_the_margin_is_a_reason() -> None:
    """Better on the mean, but a patient lost so much that nobody can be sure."""
    found = compared(shifted([0.1] * 6 + [-0.2]))

    assert found.overall.difference == pytest.approx(0.4 / 7)
    (reason,) = found.reasons
    assert reason.startswith("The mean Dice may have fallen by more than the margin of")
    assert "+0.057" in reason
    assert "over 7 patients" in reason
    assert compared(shifted([0.1] * 6 + [-0.2]), widened(margin=0.2)).accepted


def widened(**values: Any) -> Rule:
    return Rule.model_validate({**RULE.model_dump(), **values})


def test_a_structure_that_is_worse_beyond_chance_is_a_reason() -> None:
    """However much the others gain, and even within the margin."""
    loss = [-0.011, -0.012, -0.013, -0.014] * 2
    pairs = [*shifted([0.1] * 8, "liver"), *shifted(loss, "vessel")]
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
    found = compared([*shifted([0.0] * 6), pair("hard", 0.0, 0.0)])

    assert found.accepted
    assert found.new_failures == []


def test_too_few_patients_decide_nothing() -> None:
    found = compared(shifted([0.1] * 5))
    cases_of_one = compared(
        shifted([0.1] * 9), patients=dict.fromkeys(map("p{}".format, range(9)), "x")
    )

    assert found.reasons == (
        "Only 5 patients can be compared, too few to judge by: at least 6 are "
        "expected.",
    )
    assert cases_of_one.overall.patients == 1
    assert cases_of_one.overall.low is None
    assert not cases_of_one.accepted
    assert not compared([]).accepted


@pytest.mark.parametrize(("structures", "needed"), [(2, 7), (30, 11), (100, 12)])
def test_more_structures_need_more_patients(structures: int, needed: int) -> None:
    """With fewer, the loss of a single structure could not be seen."""
    names = [f"organ {n}" for n in range(structures)]
    for count in (needed - 1, needed):
        lost = [-0.3 - n / 100 for n in range(count)]
        gained = [pair for name in names[1:] for pair in shifted([0.05] * count, name)]
        found = compared([*shifted(lost, names[0]), *gained])

        assert not found.accepted
        if count < needed:
            assert (
                f"at least {needed} are expected for {structures}" in found.reasons[0]
            )
        else:
            assert found.reasons[-1].startswith("organ 0 is worse beyond chance")


def test_a_structure_of_few_patients_is_named_as_not_judged() -> None:
    pairs = [*shifted([0.0] * 8), *shifted([-0.3] * 3, "vessel")]
    found = compared(pairs, widened(margin=0.5))

    assert found.accepted
    assert found.doubts == (
        "Not judged singly, for which 6 patients are needed: vessel (3).",
    )
    assert found.doubts[0] in found.lines()


def test_two_that_find_nothing_are_no_reason_to_promote() -> None:
    found = compared([pair(f"p{n}", 0.0, 0.0) for n in range(9)])

    assert found.reasons == ("The candidate finds nothing: its mean Dice is 0.",)


def test_the_power_is_said() -> None:
    """Deviation 0.05 and 9 patients: an effect of 1.08 deviations, as simulated."""
    spread = np.linspace(-1, 1, 9)
    spread *= 0.05 / spread.std(ddof=1)
    found = compared(shifted(spread.tolist()))

    assert found.overall.visible == pytest.approx(0.05 * 1.08, abs=0.002)
    assert (
        "With 9 patients a difference of 0.054 would be seen about 4 times in 5."
        in (found.lines())
    )


@pytest.mark.parametrize(
    ("patients", "equal", "at_the_margin"), [(6, 0.11, 0.02), (12, 0.32, 0.02)]
)
def test_the_rule_lets_no_loss_through_and_most_equals_with_many_patients(
    patients: int, equal: float, at_the_margin: float
) -> None:
    """Differences of single patients with deviation 0.04; docs/decisions/0012."""
    rng = np.random.default_rng(0)

    def accepted(loss: float, tries: int) -> float:
        drawn = rng.normal(-loss, 0.04, (tries, patients)).tolist()
        return float(np.mean([compared(shifted(one)).accepted for one in drawn]))

    assert accepted(0.0, 60) >= equal - 0.12
    assert accepted(0.02, 60) <= at_the_margin + 0.08
    assert accepted(0.05, 60) <= 0.02


def rates() -> list[tuple[float, ...]]:
    """The table of docs/decisions/0012: settings, and shares accepted in percent."""
    page = (ROOT / "docs" / "decisions" / "0012-the-gate.md").read_text()
    rows = re.findall(r"^\| (1|30|100) \| (0\.0[24]) \| (\d+) \|(.*) \|$", page, re.M)
    return [
        (int(m), float(deviation), int(n), *map(float, re.findall(r"(\d+) %", shares)))
        for m, deviation, n, shares in rows
    ]


def test_candidates_pass_as_often_as_decision_12_says() -> None:
    """The table is of 400 candidates a figure, this of 60: 3 deviations of both."""
    table = rates()
    assert {row[0] for row in table} == {1, 30, 100}
    for structures, deviation, patients, *shares in table:
        if structures * patients > 400:
            continue  # seconds each
        kinds = [(0.0, 0), (0.02, structures), (0.05, structures), (0.05, 1)]
        for share, (loss, hurt) in zip(shares, kinds, strict=True):
            drawn = draw_candidates(
                int(structures), deviation, int(patients), loss=loss, hurt=int(hurt)
            )
            passed = pass_gate(drawn[:60]).mean()

            chance = max(share / 100, 0.02)
            allowed = 3.5 * (chance * (1 - chance) * (1 / 60 + 1 / 400)) ** 0.5
            assert abs(passed - share / 100) <= allowed, (structures, patients, loss)
