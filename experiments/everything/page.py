"""Page: what was seen of each system, as tables of docs/experiments/everything.md."""

import math
from pathlib import Path
from typing import Any

from experiments.everything.repro import read_seconds
from experiments.leaderboard.cost import count_cost
from experiments.pages import write_inner
from segpipe.evaluation.figures import read_figures
from segpipe.project.documents import parse_yaml
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.segmenter.spec import read_combined_spec
from segpipe.training.record import read_history, segmenter_folder, training_folder

STAGES = ("train", "predict", "evaluate")
Row = dict[str, Any]


def read_system(study: Path, model: str) -> Row:
    """What a study has of a model: its size, seconds and Dice.

    Raises:
        DataError: If a loss of the training or the Dice is no number.
    """
    artifacts = Paths(study).artifacts
    training = training_folder(artifacts, model, 0)
    spec = read_combined_spec((segmenter_folder(training),))
    losses = [row["training_loss"] for row in read_history(training)]
    dice = read_figures(artifacts, model).test["dice_mean"]
    if dice is None or not all(map(math.isfinite, [*losses, dice])):
        raise DataError(
            f"{training}: expected losses and a Dice that are numbers, found {losses} "
            f"and {dice}; look at {study / 'repro.log'}"
        )
    took = read_seconds(study)
    names = {"train": f"train@{model}-0"}
    return {
        "network": spec.network.name,
        "parameters": count_cost(spec)["parameters"],
        "width": spec.network.base_channels,
        "patch": " x ".join(map(str, spec.patch_size)),
        "loss": losses[-1],
        **{stage: took[names.get(stage, f"{stage}@{model}")] for stage in STAGES},
        "Dice": dice,
    }


def build_rows(rows: list[Row]) -> list[str]:
    """The Markdown table of a set, with a row a system."""
    lines = [
        "| network | parameters | width | patch | train, s | predict, s | evaluate, s "
        "| last loss | Dice |",
        "|---" * 9 + "|",
    ]
    for row in rows:
        cells = [
            f"`{row['network']}`",
            f"{row['parameters']:,}",
            str(row["width"]),
            row["patch"],
            *(f"{row[stage]:.0f}" for stage in STAGES),
            f"{row['loss']:.3g}",
            f"{row['Dice']:.3f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def read_study(study: Path) -> list[Row]:
    """What a study has of each of its models."""
    file = study / "params.yaml"
    params = parse_yaml(file, file.read_bytes())
    return [read_system(study, model) for model in params["models"]]


def describe_total(study: Path) -> str:
    """A sentence on the whole of a study."""
    took = read_seconds(study)
    report = Paths(study).artifacts / "report"
    size = sum(file.stat().st_size for file in report.rglob("*") if file.is_file())
    return (
        f"{len(took)} stages in {sum(took.values()) / 60:.0f} CPU minutes, of which "
        f"the report took {took['report']:.0f} s; it has {size / 1e6:.1f} MB."
    )


def write_everything(studies: dict[str, Path]) -> None:
    """Write the tables into the page.

    Args:
        studies: Title to the folder of a study that is done.
    """
    lines: list[str] = []
    for title, study in studies.items():
        rows = build_rows(read_study(study))
        lines += [f"### {title}", "", *rows, "", describe_total(study), ""]
    write_inner("everything", lines[:-1])
