"""What a report says of the trainings: against two models made by hand."""

from typing import Any

import numpy as np

from segpipe.evaluation.report.plots import Curve
from segpipe.evaluation.report.tables import Evaluated
from segpipe.evaluation.report.trained import TIMES, build_training
from tests.support.evaluations import make_figures

COMPUTE = {"device": "cpu", "precision": "bf16"}
USED: dict[str, Any] = {
    "network": "vnet",
    "loss": {"name": "dice_cross_entropy"},
    "border_weights": False,
    "sparse_annotation": False,
    "steps_per_epoch": 250,
}


def curve(model: str, fold: int, *, epochs: int) -> Curve:
    epoch = np.arange(1.0, epochs + 1)
    return Curve(model, fold, epoch, 1 / epoch, 1 - 1 / epoch, {})


def test_a_model_is_said_with_what_it_was_trained_with() -> None:
    """Sections that were written before targets say none: theirs are labels."""
    weighed = USED | {"border_weights": True, "target": "contact"}
    part = build_training(
        {
            "plain": Evaluated(make_figures(0.5), {}, USED, COMPUTE),
            "weighed": Evaluated(make_figures(0.5), {}, weighed, COMPUTE),
        },
        [
            curve("plain", 0, epochs=4),
            curve("weighed", 0, epochs=7),
            curve("weighed", 1, epochs=5),
        ],
        [0, 1],
        [" weighed, fold 1: no case of it has a vessel."],
    )

    assert part.table is not None
    loss, steps = "dice cross entropy", f"{TIMES} 250"
    assert [row.cells for row in part.table.rows] == [
        ("plain", "vnet", loss, "\N{EN DASH}", f"4 {steps}", "cpu, bf16"),
        (
            "weighed",
            "vnet",
            loss,
            "border weights, target contact",
            f"5 to 7 {steps}",
            "cpu, bf16",
        ),
    ]
    assert part.text == (
        "Folds trained: 0, 1. weighed, fold 1: no case of it has a vessel."
    )
