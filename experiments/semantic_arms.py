"""Arms of structures: all methods learn from the same files and segment the same."""

import logging
import shutil
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
from experiments.budget import EPOCHS, train_within
from experiments.semantic_sets import SemanticSet, patient_of, read_sides
from experiments.trials import (
    Trial,
    merged,
    prepare,
    read_sections,
    trial_key,
)
from segpipe.project.documents import write_json, write_text
from segpipe.project.paths import Paths
from segpipe.segmenter.settings import SegmentSettings
from segpipe.tools.importing.conversion import ImportOptions
from segpipe.tools.importing.run import import_dataset
from segpipe.tools.segmenting.run import segment

log = logging.getLogger(__name__)


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
    learned = train_within(trial, seconds - prepared, paths, clock=cpu_seconds)
    return {
        **learned,
        "learning_s": prepared + learned["training_s"],
        "preparing_s": prepared,
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
