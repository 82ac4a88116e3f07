"""A project of a few real cases with two trained models, as its commands make it."""

import csv
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from _pytest.mark.structures import ParameterSet
from ruamel.yaml import YAML
from typer.testing import CliRunner

from segpipe.__main__ import app
from tests.support.phantoms import write_dataset

CASES = 6
SIDES = ["0", "1", "1", *["test"] * (CASES - 3)]
PREPARING = ("verify", "split", "plan", "preprocess", "annotate", "weigh")
QUICK = {
    "base_channels": 4,
    "border_weights": False,
    "epochs": 1,
    "validation_interval": 1,
    "postprocessing": "none",
}
MODELS = ("poor", "good")
ADAM = {"name": "adamw", "learning_rate": 0.01}


def segpipe(*words: str) -> str:
    """What a command prints, in the working directory; its error is raised."""
    result = CliRunner().invoke(app, words)
    if result.exception is not None:
        raise result.exception
    return result.output


def first_volumes(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "images").iterdir())[:CASES]


def first_small_pictures(folder: Path) -> list[str]:
    """Fluorescence of 256 x 256 pixels."""
    with (folder / "index.csv").open(encoding="utf-8", newline="") as file:
        return [
            f"{row['id']}.png"
            for row in csv.DictReader(file)
            if row["stain"].startswith("fluorescence")
            and (row["height"], row["width"]) == ("256", "256")
        ][:CASES]


@dataclass(frozen=True)
class Trial:
    """A data set that a review is tried on.

    Attributes:
        folder: Its folder in SEGPIPE_REAL_DATA; none for phantoms.
        choose: Names of its files that are taken.
        words: How `segpipe import` is told to read them.
        preset: Its preset, of whose first model both models are made.
        patch: Patch of the trainings.
        steps: Steps in which the model good is trained.
    """

    folder: str | None
    choose: Callable[[Path], list[str]]
    preset: str
    patch: list[int]
    steps: int
    words: list[str] = field(default_factory=list)


FOLDERS = ["--images", "images", "--labels", "labels"]
TRIALS = {
    "hippocampus": Trial(
        "3d_msd_hippocampus",
        first_volumes,
        "hippocampus",
        [32, 32, 32],
        25,
        [*FOLDERS, "--structure", "anterior=1", "--structure", "posterior=2"],
    ),
    "nuclei": Trial(
        "2d_dsb2018",
        first_small_pictures,
        "nuclei",
        [64, 64, 1],
        40,
        [*FOLDERS, "--structure", "nucleus=1", "--instances", "--grey"],
    ),
    # Where there are no real data.
    "balls": Trial(None, lambda _: [], "hippocampus", [16, 16, 8], 40),
}


def param_of(name: str) -> ParameterSet:
    """A trial to be run if its data are there; that of phantoms if they are not."""
    folder, real = TRIALS[name].folder, os.environ.get("SEGPIPE_REAL_DATA")
    reason = (
        "SEGPIPE_REAL_DATA is set: real cases take this one's place"
        if folder is None
        else f"SEGPIPE_REAL_DATA is not set; {folder} lies there"
    )
    left_out = bool(real) is (folder is None)
    return pytest.param(name, marks=pytest.mark.skipif(left_out, reason=reason))


def find_source(trial: Trial, folder: Path) -> tuple[Path, list[str]]:
    """A folder with the trial's few cases, and how to import it."""
    if trial.folder is None:
        write_dataset(folder, cases=CASES)
        return folder, []
    source = Path(os.environ["SEGPIPE_REAL_DATA"]) / trial.folder
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True)
        for name in trial.choose(source):
            (folder / kind / name).symlink_to(source / kind / name)
    return folder, trial.words


def train_two(trial: Trial) -> None:
    """Import the cases into the working directory and train the models poor and good.

    ``good`` is evaluated; ``poor`` learns next to nothing.
    """
    source, words = find_source(trial, Path("source"))
    segpipe("import", str(source), *words)
    names = sorted(one.name for one in Path("data/imagesTr").iterdir())
    patients = sorted({name.split(".")[0].rpartition("_")[0] for name in names})
    rows = [f"{one},{side}\n" for one, side in zip(patients, SIDES, strict=True)]
    Path("data/splits.csv").write_text("patient,side\n" + "".join(rows))
    segpipe("preset", trial.preset)
    params = Path("params.yaml")
    yaml = YAML()
    yaml.dump(shrink(yaml.load(params), trial), params)
    for stage in PREPARING:
        segpipe(stage)
    for model in MODELS:
        segpipe("train", "--model", model, "--fold", "0")
    segpipe("predict", "--model", "good")
    segpipe("evaluate", "--model", "good")


def shrink(params: Any, trial: Trial) -> Any:
    """The params of a preset with two small models that are trained in seconds."""
    for section in params.values():
        if isinstance(section, dict) and "workers" in section:
            section["workers"] = 1
    base = next(iter(params["train"].values()))
    small = {
        **base,
        **QUICK,
        "patch_size": trial.patch,
        "loss": {**base["loss"], "name": "dice_cross_entropy"},
        "optimizer": {**base["optimizer"], **ADAM},
    }
    params["models"], params["folds"] = list(MODELS), [0]
    params["train"] = {
        model: {**small, "steps_per_epoch": steps}
        for model, steps in zip(MODELS, (2, trial.steps), strict=True)
    }
    params["compute"] |= {"device": "cpu", "precision": "fp32", "threads": 1}
    params["split"]["n_folds"] = 2
    params["predict"]["overlap_fraction"] = 0.25
    return params
