"""The figures of a model, written without predicting."""

from typing import Any

from segpipe.evaluation.figures import Figures, figures_file
from segpipe.project.paths import Paths


def make_figures(
    dice: float | None = 0.75,
    *,
    model: str = "m",
    failed: int = 1,
    structures: tuple[str, ...] = ("liver",),
    dataset: dict[str, Any] | None = None,
    instances: dict[str, Any] | None = None,
    sites: dict[str, Any] | None = None,
) -> Figures:
    """Four cases, alike in all figures but those that are given."""
    test = {
        "n": 8,
        "n_failed": failed,
        "dice_mean": dice,
        "iou_mean": 0.5,
        "precision_mean": 0.5,
        "recall_mean": 0.5,
        "hd95_mm_mean": 2.0 - (dice or 0),
        "surface_dice_mean": None,
        "volume_error_absolute_mean": 0.1,
        "dice_worst": 0.2,
    }
    shares = ("pixel_accuracy", "mean_pixel_accuracy", "mean_iou")
    return Figures(
        format_version=1,
        model=model,
        policy="words",
        unit="mm",
        cases=4,
        test=test,
        structures=dict.fromkeys(structures, test),
        dataset={
            **dict.fromkeys((*shares, "frequency_weighted_iou"), 0.9),
            **(dataset or {}),
        },
        instances=instances,
        groups={"site": sites or {}},
        surface_tolerance=2.0,
    )


def write_figures(paths: Paths, figures: Figures) -> None:
    """Write the figures of a model as evaluate does, without those of each case."""
    figures.write(figures_file(paths.artifacts, figures.model))
