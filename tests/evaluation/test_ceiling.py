"""A ceiling names what takes the rest, and how to raise it."""

import math

import pytest

from segpipe.evaluation.ceiling import Ceiling


@pytest.mark.parametrize(
    ("dice", "f1", "merges", "said"),
    [
        ((0.99, 0.98, 0.97), math.nan, 0, []),
        ((0.9, 0.89, 0.88), math.nan, 0, ["limited by resampling: set plan.spacing"]),
        ((0.99, 0.9, 0.9), 1.0, 0, ["limited by separating lines: set plan.spacing"]),
        ((0.99, 0.98, 0.7), 1.0, 0, ["limited by post-processing: set postprocessing"]),
        ((0.99, 0.98, 0.98), 0.3, 12, ["12 merges of touching ones", "3-D network"]),
        ((0.99, 0.98, 0.98), 0.9, 0, ["limited by their size"]),
    ],
)
def test_a_low_figure_stands_with_its_cause_and_the_mend(
    dice: tuple[float, ...], f1: float, merges: int, said: list[str]
) -> None:
    found = Ceiling(
        model="m", dice=dice, structures={"cell": 0.9}, instance_f1=f1, merges=merges
    )
    text = "\n".join(found.lines())

    assert f"m: Dice at most {dice[-1]:.3f}" in text
    assert all(words in text for words in said)
    assert ("limited" in text) == bool(said)
    assert ("instance F1" in text) == (not math.isnan(f1))
