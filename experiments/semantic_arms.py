"""Arms of structures: all methods learn from the same files and segment the same."""

import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from experiments import arms
from experiments.arms import (
    ABOUT,
    CHANGES,
    FOLD,
    Run,
    cpu_seconds,
    prepare_patches,
    read_run,
)
from experiments.semantic_sets import SemanticSet, patient_of, read_sides
from experiments.trials import (
    Trial,
    changed,
    merged,
    prepare,
    read_sections,
    trial_key,
)
from segpipe.project.documents import write_json, write_text
from segpipe.project.paths import Paths
from segpipe.segmenter.compute import Compute, build_compute
from segpipe.segmenter.settings import SegmentSettings
from segpipe.stages import train
from segpipe.tools.importing.conversion import ImportOptions
from segpipe.tools.importing.run import import_dataset
from segpipe.tools.segmenting.run import segment
from segpipe.training.record import TrainingRecord

log = logging.getLogger(__name__)
EPOCHS, VALIDATIONS = 10, 2
TRIED = 6  # steps of a short training that measures what a step costs
SPARED = 0.03  # of the seconds: what the short training cannot know


def import_set(raw: Path, data: Path) -> None:
    """Import what methods may learn from, with its fixed sides, unless it is there."""
    if data.is_dir():
        return
    import_dataset(raw, data, ImportOptions(patients=raw / "patients.csv"))
    sides = {patient_of(case): FOLD[side] for case, side in read_sides(raw)}
    lines = [f"{name},{side}\n" for name, side in sides.items() if side != "test"]
    write_text(data / "splits.csv", "patient,side\n" + "".join(lines))


def run_nnunet(
    raw: Path, folder: Path, *, environments: Path, seconds: float, seed: int
) -> Run:
    """Run nnU-Net in its own environment, unless it is finished.

    Args:
        raw: Folder that ``semantic_sets.write_set`` wrote.
        folder: Folder of all runs of the set.
        environments: Folder of the environments.
        seconds: CPU seconds to learn for.
        seed: Seed of the training.
    """
    return arms.run_peer(
        "semantic_nnunet.py",
        environments / "nnunet",
        exchange=raw,
        folder=folder / f"nnunet-{seconds:g}-{seed}",
        seconds=seconds,
        seed=seed,
    )


def run_segpipe(
    preset: str,
    one: SemanticSet,
    *,
    raw: Path,
    folder: Path,
    seconds: float,
    seed: int,
) -> Run:
    """Train a model of a preset for the seconds and segment, unless it is finished.

    Args:
        preset: Name of the preset.
        one: The set.
        raw: Folder that ``semantic_sets.write_set`` wrote.
        folder: Folder of all runs of the set; the scratch project is beside them.
        seconds: CPU seconds to learn for, preparation included.
        seed: Seed of the training.
    """
    paths = Paths(folder / "segpipe")
    import_set(raw, paths.data)
    fixed = {"split": {"test_fraction": 0.0}, "train": {"seed": seed}}
    length = {"budget": "params", "epochs": EPOCHS, "steps_per_epoch": 1}
    changes = merged(CHANGES, merged(fixed, {"train": length}))
    sections = read_sections(preset, one.presets[preset], changes)
    trial = Trial(preset, seed, sections)
    run = folder / f"{trial.name}-{seconds:g}-{trial_key(trial, paths)[:12]}"
    if not (run / ABOUT).is_file():
        log.info("segpipe: %s", run)
        about = learn_within(trial, seconds, paths)
        began = cpu_seconds()
        segment_tests(trial.name, one, raw, run, paths)
        write_json(run / ABOUT, {**about, "using_s": cpu_seconds() - began})
    return read_run(run)


def learn_within(trial: Trial, seconds: float, paths: Paths) -> dict[str, Any]:
    """Train as many steps as the seconds allow, all stages counted but the measuring.

    A short training measures what a step and a validation cost; it is thrown away.
    """
    prepare(paths, trial.sections)
    shutil.rmtree(paths.cache, ignore_errors=True)  # what is known costs nothing
    began = cpu_seconds()
    prepare_patches(trial, paths)
    prepared = cpu_seconds() - began
    cost = measure(trial, paths)
    steps = steps_within(seconds * (1 - SPARED) - prepared, cost)
    length = {"steps_per_epoch": steps, "validation_interval": EPOCHS // VALIDATIONS}
    sections = changed(trial.sections, train=length).train
    began = cpu_seconds()
    train.run(
        sections,
        model=trial.name,
        fold=0,
        compute=build_compute(trial.sections.compute),
        paths=paths,
    )
    return {
        "learning_s": prepared + cpu_seconds() - began,
        "preparing_s": prepared,
        "steps": EPOCHS * steps,
        **cost,
    }


def steps_within(seconds: float, cost: dict[str, float]) -> int:
    """Steps of each of the epochs of a training that takes the seconds; 1 at least."""
    left = seconds - cost["rest"] - VALIDATIONS * cost["validation"]
    return max(1, int(left / cost["step"] / EPOCHS))


def measure(trial: Trial, paths: Paths) -> dict[str, float]:
    """CPU seconds of a step, of a validation, and of all else of a training."""
    stamps: list[float] = []

    @contextmanager
    def stamp(record: TrainingRecord, compute: Compute) -> Iterator[train.Observer]:
        """Note the CPU seconds whenever an epoch ends."""
        yield train.Observer(
            log=lambda rows: stamps.append(cpu_seconds()), alive=lambda: None
        )

    length = {"epochs": 3, "steps_per_epoch": TRIED, "validation_interval": 3}
    began = cpu_seconds()
    train.run(
        changed(trial.sections, train=length).train,
        model=trial.name,
        fold=0,
        compute=build_compute(trial.sections.compute),
        paths=paths,
        observe=stamp,
    )
    ended = cpu_seconds()
    start, _, second, third = stamps
    step = (second - stamps[1]) / TRIED  # the first epoch warms up
    return {
        "step": step,
        "validation": max(0.0, third - second - TRIED * step),
        "rest": start - began + ended - third,
    }


def segment_tests(
    model: str, one: SemanticSet, raw: Path, folder: Path, paths: Paths
) -> None:
    """Write the label maps of the test cases as ``segpipe segment`` does."""
    masks = folder / "masks"
    trained = str(paths.artifacts / "train" / model)
    images = sorted((raw / "imagesTs").iterdir())
    done = segment(
        trained, images, masks, SegmentSettings(overlay=False), force=True, paths=paths
    )
    assert not done.failed, done.failed
    for name, side in read_sides(raw):
        if side == "test":
            (file,) = masks.rglob(f"{name}{one.ending}")
            shutil.copyfile(file, folder / file.name)
