"""Peer: nnU-Net on the same split, in its own environment, for the same seconds.

Its planning and preprocessing are free, as the stages before train are for segpipe.
"""

import json
import math
import shutil
from pathlib import Path
from typing import Any

from experiments.arms import Run, run_peer
from segpipe.dataset.case import CaseList, read_cases
from segpipe.dataset.case_files import read_case_label
from segpipe.dataset.split import Split, read_split
from segpipe.evaluation.measures.metrics import dice, iou
from segpipe.images.formats.files import read_label
from segpipe.project.documents import write_text
from segpipe.project.paths import Paths

NNUNET = "nnU-Net 2.8.1"
SIDES = ("training", "validation", "test")


def run_peer_trial(
    seed: int, *, number: int, seconds: float, environment: Path, paths: Paths
) -> dict[str, Any]:
    """Train nnU-Net, segment the test cases and judge them.

    Args:
        seed: Seed of the training.
        number: Number of the set in nnU-Net's names of folders.
        seconds: Seconds of a core for its training.
        environment: nnU-Net's environment.
        paths: Folders of the prepared project.

    Returns:
        The document of the trial, without what is the same for all trials.
    """
    cases, split = read_cases(paths.artifacts), read_split(paths.artifacts)
    raw = paths.root / "peer" / f"Dataset{number:03}_{paths.root.name}"
    write_exchange(cases, split, paths.data, raw)
    folder = raw.parent / f"{seconds:g}-{seed}"
    run = run_peer(
        "semantic_nnunet.py",
        environment,
        exchange=raw,
        folder=folder,
        seconds=seconds,
        seed=seed,
        more=("training",),
    )
    about = run.about
    return {
        "patch": about["patch"],
        "parameters": about["parameters"],
        "multiply_adds": None,
        "voxels": math.prod(about["patch"]),
        "steps": about["steps"],
        "training_s": about["training_s"],
        "peak_gb": about["peak_gb"],
        "predict_s": about["using_s"] / len(split.test),
        "cases": judge_files(run, cases, split, paths.data),
    }


def write_exchange(cases: CaseList, split: Split, data: Path, raw: Path) -> None:
    """Write the set in nnU-Net's layout, unless it is there; no label of a test case.

    Args:
        cases: The verified set.
        split: Its split; the first fold learns.
        data: Folder of the set.
        raw: Folder to write: imagesTr, labelsTr, imagesTs, dataset.json, sides.csv.
    """
    if (raw / "sides.csv").is_file():
        return
    fold = split.folds[0]
    lines = ["name,side\n"]
    groups = zip(SIDES, (fold.training, fold.validation, split.test), strict=True)
    for side, names in groups:
        images = raw / ("imagesTs" if side == "test" else "imagesTr")
        for name in names:
            case = cases[name]
            for image in case.images:
                _copy(data / image, images)
            if side != "test":
                _copy(data / case.label, raw / "labelsTr")
            lines.append(f"{name},{side}\n")
    document = {
        "channel_names": {str(n): name for n, name in enumerate(cases.channels)},
        "labels": cases.labels,
        "numTraining": len(fold.training) + len(fold.validation),
        "file_ending": cases.file_ending,
    }
    write_text(raw / "dataset.json", json.dumps(document, indent=2) + "\n")
    write_text(raw / "sides.csv", "".join(lines))


def _copy(file: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, folder / file.name)


def judge_files(
    run: Run, cases: CaseList, split: Split, data: Path
) -> list[dict[str, Any]]:
    """Dice and IoU of each test case and structure."""
    found, values = [], cases.values
    for name in split.test:
        drawn = read_case_label(data, cases, cases[name]).array
        predicted = read_label(run.folder / f"{name}{cases.file_ending}").array
        for number, structure in enumerate(cases.structures[1:], start=1):
            masks = (drawn == values[number], predicted == values[number])
            scores = {"dice": dice(*masks), "iou": iou(*masks)}
            found.append(
                {
                    "case": name,
                    "patient": cases[name].patient,
                    "structure": structure,
                    **{
                        key: None if math.isnan(value) else value
                        for key, value in scores.items()
                    },
                }
            )
    return found
