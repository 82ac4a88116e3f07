"""A training gets the steps that fit its seconds."""

import pytest

from experiments.budget import EPOCHS, VALIDATIONS, costs_of, length_within


def test_steps_fill_the_seconds_beside_all_else() -> None:
    cost = {"step": 0.5, "epoch": 0.3, "validation": 4.0, "rest": 10.0}
    epochs, steps = length_within(121, cost, VALIDATIONS)

    spent = EPOCHS * (steps * 0.5 + 0.3) + VALIDATIONS * 4 + 10
    assert (EPOCHS, VALIDATIONS) == (10, 2)
    assert (epochs, steps) == (10, 20)
    assert spent == pytest.approx(121)
    assert length_within(1, cost, VALIDATIONS) == (1, 1)


def test_slow_steps_are_fewer_than_ten_and_few_steps_make_more_epochs() -> None:
    """40 s are 4 steps of 9 s beside 3 s; or 14 epochs of 1 step of 2.6 s."""
    slow = {"step": 9.0, "epoch": 0.0, "validation": 1.0, "rest": 2.0}
    quick = {**slow, "step": 2.6}

    assert length_within(40, slow, 1) == (4, 1)
    assert length_within(40, quick, 1) == (14, 1)


def test_a_short_training_tells_its_parts_apart() -> None:
    """Built from a step of 2 s, 3 s an epoch beside them, 7 s to validate, 11 else."""
    ticks, ends, now = list[float](), [(0, 104.0)], 104.0
    for epoch in range(3):
        now += 3
        for _ in range(4):
            now += 2 if epoch else 9  # the first epoch warms up
            ticks.append(now)
        if epoch == 2:
            ticks += [now + 3, now + 7]  # two cases of the validation
            now += 7
        ends.append((len(ticks), now))

    found = costs_of(100, ticks, ends, now + 7, tried=4)
    assert found == {"step": 2, "epoch": 3, "validation": 7, "rest": 11}
