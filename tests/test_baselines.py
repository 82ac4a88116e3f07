"""From images to the report: networks of presets beside methods without training."""

import csv
import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from segpipe.training.record import read_record, training_folder
from tests.support.acceptance import (
    ADAM,
    CASES,
    PREPARING,
    QUICK,
    TRIALS,
    find_source,
    param_of,
    segpipe,
)
from tests.support.phantoms import write_dataset


def run_to_report(
    preset: str, source: Path, words: list[str], patch: list[int], steps: int
) -> str:
    """The report of a preset, trained for seconds on cases of one patient each.

    Args:
        preset: Name of the preset, with one model.
        source: Folder of the images.
        words: How to import it.
        patch: Patch of the training.
        steps: Steps of the training.
    """
    segpipe("import", str(source), *words)
    segpipe("preset", preset)
    yaml, params = YAML(), Path("params.yaml")
    document = yaml.load(params)
    shrink(document, patch, steps)
    yaml.dump(document, params)
    (model,) = document["models"]
    for stage in PREPARING:
        segpipe(stage)
    segpipe("train", "--model", model, "--fold", "0")
    segpipe("predict", "--model", model)
    segpipe("evaluate", "--model", model)
    segpipe("report")
    return Path("artifacts/report/index.html").read_text(encoding="utf-8")


def shrink(document: Any, patch: list[int], steps: int) -> None:
    """Change the params to a small training in this process."""
    for section in document.values():
        if isinstance(section, dict) and "workers" in section:
            section["workers"] = 1
    document["compute"] |= {"device": "cpu", "precision": "fp32", "threads": 1}
    document["split"] |= {"test_fraction": 0.4, "n_folds": 2}
    document["predict"]["overlap_fraction"] = 0.25
    document["report"]["overlays"] = False
    (section,) = document["train"].values()
    section |= {**QUICK, "patch_size": patch, "steps_per_epoch": steps}
    section["optimizer"] |= ADAM


def rows_of(page: str) -> dict[str, list[str]]:
    """Cells of the tables of a page, by the name of the row."""
    rows = re.findall(r"<tr><td>([^<]+)</td>(<td.*?)</tr>", page, re.DOTALL)
    return {name: re.findall(r">([^<]*)</td>", cells) for name, cells in rows}


@pytest.mark.parametrize("name", [param_of("nuclei")])
def test_real_nuclei_are_found_by_methods_without_training(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bright nuclei on black: one threshold for the image finds most of them.

    Seeds: X1.
    """
    monkeypatch.chdir(tmp_path)
    trial = TRIALS[name]
    source, words = find_source(trial, Path("source"))
    page = run_to_report(trial.preset, source, words, trial.patch, 4)

    head = re.findall(r"<th>([^<]*)</th>", page.split("Models side by side")[1])
    assert head[:6] == ["", "unet2d", "otsu", "k_means", "slic", "watershed"]
    rows = rows_of(page)
    assert all(0.7 < float(dice) < 1 for dice in rows["Dice"][1:])
    assert all(float(seconds) > 0 for seconds in rows["CPU seconds a case"][1:])
    assert [n for n in rows if n.startswith("unet2d against ")] == [
        f"unet2d against {method}" for method in head[2:6]
    ]


def test_the_exercise_of_the_seeds_runs_from_data_to_iou(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A U-Net learns one organ in volumes by the focal loss, and IoU is reported.

    Seeds: X4.
    """
    monkeypatch.chdir(tmp_path)
    write_dataset(Path("source"), cases=CASES, structures=1)
    page = run_to_report("prostate", Path("source"), [], [16, 16, 1], 10)

    record = read_record(training_folder(Path("artifacts"), "unet2d", 0))
    assert (record.params["network"], record.params["loss"]["name"]) == (
        "unet2d",
        "focal",
    )
    with Path("artifacts/train/unet2d/0/history.csv").open(encoding="utf-8") as file:
        (epoch,) = csv.DictReader(file)
    assert 0 < float(epoch["training_loss"]) < 0.25  # p = 1/2 costs ln 2 / 4
    with Path("artifacts/evaluate/unet2d/cases.csv").open(encoding="utf-8") as file:
        found = [float(row["iou"]) for row in csv.DictReader(file)]
    reported = rows_of(page)["IoU"]
    assert float(reported[0]) == pytest.approx(sum(found) / len(found), abs=6e-4)
    assert reported[1] == "1.000"  # Otsu's threshold, where balls are brighter
