"""Arms: a method that learns from the same files as others, within equal CPU seconds.

A peer runs its script of benchmarks/peers in an environment of its own. A run that is
finished is not run again: its folder is named by code, data and settings, that of a
peer by its script, seconds and seed.
"""

import json
import logging
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.trials import HOME, Trial, prepare
from segpipe.project.fingerprint import digest_file
from segpipe.project.paths import Paths
from segpipe.segmenter.compute import build_compute
from segpipe.stages import annotate, plan, preprocess, train, weigh

log = logging.getLogger(__name__)
ABOUT = "about.json"
FOLD = {"validation": "0", "training": "1", "test": "test"}
ONE_THREAD = {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
CHANGES: dict[str, Any] = {
    **{stage: {"workers": 1} for stage in ("verify", "plan", "preprocess", "weigh")},
    "compute": {"device": "cpu", "threads": 1, "workers": 1},
    "split": {"n_folds": 2},
}


@dataclass(frozen=True)
class Run:
    """A method that has learned.

    Attributes:
        folder: Folder of the prediction of each test image.
        about: CPU seconds of learning, ``learning_s``, and what else is known.
    """

    folder: Path
    about: dict[str, Any]


def read_run(folder: Path) -> Run:
    """The finished run of a folder."""
    return Run(folder, json.loads((folder / ABOUT).read_text(encoding="utf-8")))


def run_peer(
    script: str,
    environment: Path,
    *,
    exchange: Path,
    folder: Path,
    seconds: float,
    seed: int,
    more: tuple[str, ...] = (),
) -> Run:
    """Run the script of a peer in its own environment, unless it is finished.

    Args:
        script: Name of the script in benchmarks/peers.
        environment: Folder of the environment.
        exchange: Folder that the script reads.
        folder: Folder of the run; the digest of the script is added to its name.
        seconds: CPU seconds to learn for.
        seed: Seed of the training.
        more: What else the script is told.
    """
    file = HOME / "benchmarks" / "peers" / script
    folder = folder.with_name(f"{folder.name}-{digest_file(file)[:8]}")
    if not (folder / ABOUT).is_file():
        log.info("%s: %s", script, folder)
        given = [exchange, folder, f"{seconds:g}", str(seed), *more]
        python = environment / "bin" / "python"
        subprocess.run(
            [str(part) for part in (python, file, *given)],
            env={**os.environ, **ONE_THREAD, "PYTHONPATH": str(HOME)},
            check=True,
        )
    return read_run(folder)


def learn(trial: Trial, paths: Paths) -> dict[str, Any]:
    """Run the stages from plan to train; returns the CPU seconds of all of them."""
    sections, model = trial.sections, trial.name
    prepare(paths, sections)
    began = cpu_seconds()
    prepare_patches(trial, paths)
    compute = build_compute(sections.compute)
    train.run(sections.train, model=model, fold=0, compute=compute, paths=paths)
    steps = sections.train.epochs * sections.train.steps_per_epoch
    return {"learning_s": cpu_seconds() - began, "steps": steps}


def prepare_patches(trial: Trial, paths: Paths) -> None:
    """Run the stages that a training needs, from plan to weigh."""
    sections = trial.sections
    plan.run(sections.plan, models={trial.name: sections.train}, paths=paths)
    preprocess.run(sections.preprocess, paths=paths)
    annotate.run(sections.annotate, paths=paths)
    weigh.run(sections.weigh, paths=paths)


def cpu_seconds() -> float:
    """CPU seconds of this process and of those that it waited for."""
    return sum(os.times()[:4])
