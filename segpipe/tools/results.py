"""results: show the figures of all models in the terminal, and where to look next."""

import os

from segpipe.evaluation.figures import Figures, figures_file, read_figures
from segpipe.evaluation.report.page import page_file
from segpipe.project.errors import DataError
from segpipe.project.params import read_params
from segpipe.project.paths import Paths

ABSENT = "-"


def results(paths: Paths) -> list[str]:
    """Table of all listed models as lines, with the places of report and runs.

    Raises:
        DataError: If no listed model has been evaluated.
    """
    found = {
        str(model): read_figures(paths.artifacts, str(model))
        for model in read_params(paths.params)["models"]
        if figures_file(paths.artifacts, str(model)).is_file()
    }
    if not found:
        raise DataError(
            f"{paths.artifacts / 'evaluate'}: expected figures, found none; "
            "run `dvc repro`"
        )
    rows = [_row(model, figures) for model, figures in found.items()]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    table = [columns, *([row.get(name, ABSENT) for name in columns] for row in rows)]
    widths = [max(len(line[n]) for line in table) for n in range(len(columns))]
    cases = next(iter(found.values())).cases
    return [
        f"Means over {cases} test cases",
        "",
        *(_aligned(line, widths) for line in table),
        "",
        f"Report   {page_file(paths.artifacts)}",
        f"Runs     {_where_runs_are()}",
    ]


def _where_runs_are() -> str:
    """The MLflow server that is set, or else how to look at the project's store."""
    local = "mlflow ui --backend-store-uri sqlite:///mlflow.db"
    return os.environ.get("MLFLOW_TRACKING_URI") or local


def _row(model: str, figures: Figures) -> dict[str, str]:
    test, unit = figures.test, figures.unit
    row = {"model": model}
    if len(figures.structures) > 1:
        for name, summary in figures.structures.items():
            row[f"Dice {name}"] = _text(summary["dice_mean"])
    row |= {
        "Dice": _text(test["dice_mean"]),
        "IoU": _text(test["iou_mean"]),
        "PA": _text(figures.dataset["pixel_accuracy"]),
        f"HD95 {unit}": _text(test[f"hd95_{unit}_mean"], 2),
        "failed": f"{test['n_failed']}/{test['n']}",
    }
    instances = figures.instances
    if instances:
        row |= {
            "instance F1": _text(instances["f1"]),
            "merges": str(instances["merges"]),
            "found": str(instances["n_predicted"]),
            "splits": str(instances["splits"]),
        }
    return row


def _text(value: float | None, digits: int = 3) -> str:
    return ABSENT if value is None else f"{value:.{digits}f}"


def _aligned(line: list[str], widths: list[int]) -> str:
    """Join the cells of a line: the name left-aligned, numbers right-aligned."""
    first, *rest = (
        text.ljust(width) if place == 0 else text.rjust(width)
        for place, (text, width) in enumerate(zip(line, widths, strict=True))
    )
    return "  ".join([first, *rest])
