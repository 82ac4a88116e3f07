"""Trained: how the models of a report were trained, and their curves."""

from segpipe.evaluation.report.contest import ABSENT
from segpipe.evaluation.report.page import Part, Picture, Row, Table
from segpipe.evaluation.report.plots import Curve, plot_curves
from segpipe.evaluation.report.tables import Evaluated

USUAL = "labels"  # target of a model whose record names none
TIMES = "\N{MULTIPLICATION SIGN}"


def build_training(
    evaluated: dict[str, Evaluated],
    curves: list[Curve],
    folds: list[int],
    doubts: list[str],
) -> Part:
    """The part that says how each model was trained, with its curves.

    Args:
        evaluated: The models.
        curves: Loss and figures of each model and fold, as they are to be drawn.
        folds: Numbers of the folds.
        doubts: Sentences on what the validation could not judge.
    """
    rows = []
    for model, e in evaluated.items():
        used, compute = e.params, e.compute
        ends = sorted({len(curve.epoch) for curve in curves if curve.model == model})
        extras = [
            word
            for word, on in {
                "border weights": used["border_weights"],
                "sparse annotation": used["sparse_annotation"],
                f"target {used.get('target')}": used.get("target", USUAL) != USUAL,
                "judged by instances": used.get("judged_by") == "instances",
            }.items()
            if on
        ]
        rows.append(
            Row(
                (
                    model,
                    used["network"],
                    used["loss"]["name"].replace("_", " "),
                    ", ".join(extras) or ABSENT,
                    f"{_span(ends)} {TIMES} {used['steps_per_epoch']}",
                    f"{compute['device']}, {compute['precision']}",
                )
            )
        )
    columns = ("", "Network", "Loss", "Besides", f"Epochs {TIMES} steps", "Device")
    return Part(
        "Training",
        "".join([f"Folds trained: {', '.join(map(str, folds))}.", *doubts]),
        Table(columns, tuple(rows)),
        (
            Picture(
                "curves", plot_curves(curves), "Training loss and validation figures"
            ),
        ),
    )


def _span(ends: list[int]) -> str:
    """The epochs that the folds trained: one number, or the least and the most."""
    return str(ends[0]) if len(ends) == 1 else f"{ends[0]} to {ends[-1]}"
