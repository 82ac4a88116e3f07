"""Trial: one training within the seconds and its test, in a process of its own.

``python -m experiments.leaderboard.trial`` is started by the lanes, not by people.
"""

import argparse
import json
import logging
import math
import resource
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from experiments.arms import cpu_seconds
from experiments.budget import Clock, Length, train_length, train_within
from experiments.leaderboard.arms import Width, build_trial
from experiments.leaderboard.cost import count_cost
from experiments.leaderboard.peer import NNUNET, run_peer_trial
from experiments.leaderboard.sets import BOARDS, base_sections
from experiments.trials import Sections, Trial, changed
from segpipe.dataset.case import CaseList, read_cases
from segpipe.dataset.case_files import (
    read_case_instances,
    read_case_label,
    read_predicted_instances,
    read_prediction,
)
from segpipe.dataset.split import read_split
from segpipe.evaluation.figures import read_rows
from segpipe.evaluation.scores import match_structures
from segpipe.project.documents import write_json
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.segmenter.compute import Compute, build_compute
from segpipe.segmenter.spec import read_combined_spec, segmenter_digest
from segpipe.stages import evaluate, predict
from segpipe.training.record import segmenter_folder, training_folder
from segpipe.training.task.pretrained import SHOWN


@dataclass(frozen=True)
class Settings:
    """What all trials of a leaderboard have in common.

    Attributes:
        seconds: Seconds of ``clock_of`` that each training may take.
        device: ``cpu`` or ``cuda``.
        lanes: Trials that run beside each other on the machine.
        width: Width of the networks: ``narrow`` or ``paper``.
        tried: Steps of an epoch of the short training that measures.
        code: Commit of the code.
    """

    seconds: float
    device: str
    lanes: int
    width: Width
    tried: int
    code: str


def clock_of(device: str) -> Clock:
    """The clock of all seconds: of the wall, or without a GPU of the one core in use.

    A trial has one thread, so that on an idle core both tell the same.
    """
    return time.perf_counter if device == "cuda" else cpu_seconds


def project(work: Path, folder: str) -> Paths:
    """Folders of the scratch project of a set."""
    return Paths(work / folder)


def result_file(work: Path, folder: str, arm: str, seed: int) -> Path:
    """The file of a finished trial."""
    words = arm.replace(",", "").replace("/", " ").split()
    name = "-".join([*words, str(seed)])
    return work / "results" / folder / f"{name}.json"


def run_trial(
    folder: str, arm: str, seed: int, settings: Settings, work: Path
) -> dict[str, Any]:
    """Train within the seconds, predict the test cases and judge them.

    Args:
        folder: Name of the set.
        arm: Name of the arm.
        seed: Seed of the training.
        settings: What all trials have in common.
        work: Folder with the prepared sets.

    Returns:
        The document of the trial: its costs, and the figures of each case.
    """
    board, paths = BOARDS[folder], project(work, folder)
    base = base_sections(board, device=settings.device)
    common = {
        "set": folder,
        "arm": arm,
        "seed": seed,
        "settings": asdict(settings),
        "on": str(build_compute(base.compute)),
    }
    if arm == NNUNET:
        found = run_peer_trial(
            seed,
            number=list(BOARDS).index(folder) + 1,
            seconds=settings.seconds,
            environment=environment_of(work),
            paths=paths,
        )
    else:
        one = board.arm(arm)
        trial = build_trial(one, seed, base, settings.width)
        if one.first:
            first = build_trial(board.arm(one.first), seed, base, settings.width)
            trial = go_on(trial, first.name, paths)
        known = None
        if one.length_of:
            known = read_length(result_file(work, folder, one.length_of, seed))
        found = run_own_trial(trial, base, known, settings, paths)
    return {**common, **found}


def go_on(trial: Trial, first: str, paths: Paths) -> Trial:
    """The trial, which starts from the segmenter of another one.

    Raises:
        DataError: If there is no such segmenter.
    """
    folder = segmenter_folder(training_folder(paths.artifacts, first, 0))
    if not folder.is_dir():
        raise DataError(f"{folder}: expected a segmenter; run the trial {first} first")
    where = folder.relative_to(paths.root).as_posix()
    start = f"{where}@{segmenter_digest(folder)[:SHOWN]}"
    return replace(trial, sections=changed(trial.sections, train={"start_from": start}))


def read_length(file: Path) -> Length:
    """Epochs of a finished trial, and steps of each.

    Raises:
        DataError: If it is not finished.
    """
    if not file.is_file():
        raise DataError(f"{file}: expected the result of a trial; run that one first")
    document = json.loads(file.read_text(encoding="utf-8"))
    return document["epochs"], document["steps"] // document["epochs"]


def run_own_trial(
    trial: Trial,
    base: Sections,
    length: Length | None,
    settings: Settings,
    paths: Paths,
) -> dict[str, Any]:
    """Train a network of segpipe; returns its costs and the figures of each case.

    Args:
        trial: The trial.
        base: Sections of the set.
        length: Epochs and steps of each; None for as many as fit the seconds.
        settings: What all trials have in common.
        paths: Folders of the scratch project.
    """
    compute, clock = build_compute(base.compute), clock_of(settings.device)
    if length:
        learned = train_length(trial, length, paths, clock=clock, validations=1)
    else:
        learned = train_within(
            trial,
            settings.seconds,
            paths,
            clock=clock,
            tried=settings.tried,
            validations=1,
        )
    peak = peak_gb(compute)
    began = clock()
    predict.run(base.predict, model=trial.name, folds=[0], compute=compute, paths=paths)
    predicted = clock() - began
    evaluate.run(base.evaluate, model=trial.name, paths=paths)
    cases = judge_cases(trial.name, paths)
    spec = read_combined_spec(
        (segmenter_folder(training_folder(paths.artifacts, trial.name, 0)),)
    )
    return {
        "network": trial.sections.train.network,
        "base_channels": trial.sections.train.base_channels,
        "patch": list(spec.patch_size),
        **count_cost(spec),
        **learned,
        "peak_gb": peak,
        "predict_s": predicted / len({case["case"] for case in cases}),
        "cases": cases,
    }


def environment_of(work: Path) -> Path:
    """The link to nnU-Net's environment, in the folder of the leaderboard."""
    return work / "nnunet"


def peak_gb(compute: Compute) -> float:
    """Most memory that this process had so far: of the GPU, or of the machine."""
    if compute.device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def judge_cases(model: str, paths: Paths) -> list[dict[str, Any]]:
    """Figures of each test case and structure: Dice, IoU and counts of instances."""
    cases, rows = read_cases(paths.artifacts), read_rows(paths.artifacts, model)
    found = []
    for name in read_split(paths.artifacts).test:
        counts = count_instances(model, name, cases, paths)
        found += [
            {
                "case": case,
                "patient": cases[case].patient,
                "structure": structure,
                "dice": _known(row["dice"]),
                "iou": _known(row["iou"]),
                **counts.get(structure, {}),
            }
            for (case, structure), row in sorted(rows.items())
            if case == name
        ]
    return found


def count_instances(
    model: str, name: str, cases: CaseList, paths: Paths
) -> dict[str, dict[str, Any]]:
    """Matched instances of a case by structure; nothing in a set without instances."""
    case = cases[name]
    drawn = read_case_instances(paths.data, cases, case)
    found = read_predicted_instances(paths.artifacts, model, cases, name)
    predicted = read_prediction(paths.artifacts, model, cases, name)
    if drawn is None or found is None or predicted is None:
        return {}
    matches = match_structures(
        cases,
        read_case_label(paths.data, cases, case),
        drawn,
        predicted.array,
        found.array,
        iou_threshold=0.5,
    )
    kept = ("n_reference", "n_predicted", "merges", "splits", "hits")
    return {
        structure: {key: getattr(one, key) for key in kept}
        for structure, one in matches.items()
    }


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def main() -> None:
    """Run one trial and write its document."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("arm")
    parser.add_argument("seed", type=int)
    parser.add_argument("settings", type=json.loads)
    parser.add_argument("work", type=Path)
    given = parser.parse_args()
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(message)s")
    logging.getLogger("segpipe").setLevel("INFO")
    settings = Settings(**given.settings)
    found = run_trial(given.folder, given.arm, given.seed, settings, given.work)
    write_json(result_file(given.work, given.folder, given.arm, given.seed), found)


if __name__ == "__main__":
    main()
