"""Arms: each method learns from the same images of nuclei and segments the same others.

A peer runs its script of benchmarks/peers in an environment of its own. A run that is
finished is not run again: its folder is named by all that it depends on.
"""

import json
import logging
import os
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int32, Integer, UInt8

from experiments.nuclei_sides import Row, choose_sides, read_rows
from experiments.trials import Trial, merged, prepare, read_sections, trial_key
from segpipe.images.formats.files import read_image, read_label
from segpipe.project.documents import write_json, write_text
from segpipe.project.fingerprint import digest_file
from segpipe.project.paths import Paths
from segpipe.segmenter.compute import build_compute
from segpipe.segmenter.settings import SegmentSettings
from segpipe.stages import annotate, plan, preprocess, train, weigh
from segpipe.tools.importing.conversion import ImportOptions
from segpipe.tools.importing.run import import_dataset
from segpipe.tools.segmenting.run import segment

log = logging.getLogger(__name__)
HOME = Path(__file__).parents[1]
ABOUT = "about.json"
PEERS = {  # title to the script of benchmarks/peers and its environment
    "Otsu + distance watershed": "otsu",
    "StarDist 0.9.2": "stardist",
    "Cellpose 3.1.1": "cellpose",
}
SEEDLESS = {"otsu"}
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
        folder: Folder of the instance ids of each test image, NAME.npy.
        about: CPU seconds of learning, ``learning_s``, and what else is known.
    """

    folder: Path
    about: dict[str, Any]

    def read(self, name: str) -> Int32[np.ndarray, "row column"]:
        """The predicted instance ids of a test image."""
        array: Int32[np.ndarray, "row column"] = np.load(self.folder / f"{name}.npy")
        return array


def read_pixels(file: Path) -> UInt8[np.ndarray, "row column 3"]:
    """The colours of an image; grey ones have them three times."""
    array = read_image(file).array[..., 0]
    colours = np.repeat(array, 3, axis=0) if len(array) == 1 else array[:3]
    return colours.transpose(2, 1, 0).astype(np.uint8)


def read_ids(file: Path) -> Integer[np.ndarray, "row column"]:
    """The instance ids of a label map."""
    return read_label(file).array[:, :, 0].T


def write_exchange(source: Path, folder: Path) -> None:
    """Write what the peers may see, unless it is there: no reference of a test image.

    Args:
        source: The folder 2d_dsb2018.
        folder: Folder to write, as ``benchmarks.peers.exchange`` reads it.
    """
    sides = choose_sides(read_rows(source))
    if (folder / "sides.csv").is_file():
        return
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for name, side in sides.items():
        pixels = read_pixels(source / "images" / f"{name}.png")
        np.save(folder / "images" / f"{name}.npy", pixels)
        if side != "test":
            ids = read_ids(source / "labels" / f"{name}.png").astype(np.int32)
            np.save(folder / "labels" / f"{name}.npy", ids)
    lines = [f"{name},{side}\n" for name, side in sides.items()]
    write_text(folder / "sides.csv", "name,side\n" + "".join(lines))


def run_peer(
    peer: str, *, work: Path, environments: Path, seconds: float, seed: int
) -> Run:
    """Run the script of a peer in its own environment, unless it is finished.

    Args:
        peer: Name of the environment's folder and the end of the script's name.
        work: Folder with the exchange; the run is written below it.
        environments: Folder of the environments.
        seconds: CPU seconds to learn for.
        seed: Seed of the training.
    """
    script = HOME / "benchmarks" / "peers" / f"nuclei_{peer}.py"
    budget = "" if peer in SEEDLESS else f"-{seconds:g}-{seed}"
    folder = work / "runs" / f"{peer}{budget}-{digest_file(script)[:8]}"
    if not (folder / ABOUT).is_file():
        log.info("%s: %s", peer, folder)
        python = environments / peer / "bin" / "python"
        given = [work / "exchange", folder, f"{seconds:g}", str(seed)]
        subprocess.run(
            [str(part) for part in (python, script, *given)],
            env={**os.environ, **ONE_THREAD, "PYTHONPATH": str(HOME)},
            check=True,
        )
    return Run(folder, json.loads((folder / ABOUT).read_text(encoding="utf-8")))


def import_nuclei(source: Path, data: Path) -> None:
    """Import the set with its stains and the fixed sides, unless it is there."""
    if data.is_dir():
        return
    rows = read_rows(source)
    sides = choose_sides(rows)
    with tempfile.TemporaryDirectory() as name:
        patients = Path(name) / "patients.csv"
        write_text(patients, _patients(rows))
        options = ImportOptions(
            images="images",
            labels="labels",
            instances=True,
            structures={"nucleus": 1},
            patients=patients,
        )
        import_dataset(source, data, options)
    lines = [f"{row.name},{FOLD[sides[row.name]]}\n" for row in rows]
    write_text(data / "splits.csv", "patient,side\n" + "".join(lines))


def _patients(rows: Iterable[Row]) -> str:
    lines = [f"{row.name},{row.name},{row.stain}\n" for row in rows]
    return "case,patient,stain\n" + "".join(lines)


def run_segpipe(
    preset: str,
    model: str,
    changes: dict[str, Any],
    *,
    source: Path,
    work: Path,
    seed: int,
) -> Run:
    """Train a model of a preset and segment, unless it is finished.

    The instance ids are those that ``segpipe segment --instances`` writes without any
    other option.

    Args:
        preset: Name of the preset.
        model: Name of the model in the preset.
        changes: Changes of its section ``train``, such as fewer epochs.
        source: The folder 2d_dsb2018.
        work: Folder of the scratch project.
        seed: Seed of the training.
    """
    paths = Paths(work / "segpipe")
    import_nuclei(source, paths.data)
    changes = merged(CHANGES, {"train": {**changes, "seed": seed}})
    trial = Trial(preset, seed, read_sections(preset, model, changes))
    folder = work / "runs" / f"{trial.name}-{trial_key(trial, paths)[:12]}"
    if not (folder / ABOUT).is_file():
        log.info("segpipe: %s", folder)
        about = learn(trial, paths)
        began = cpu_seconds()
        segment_tests(trial.name, source, folder, paths)
        write_json(folder / ABOUT, {**about, "using_s": cpu_seconds() - began})
    return Run(folder, json.loads((folder / ABOUT).read_text(encoding="utf-8")))


def learn(trial: Trial, paths: Paths) -> dict[str, Any]:
    """Run the stages from plan to train; returns the CPU seconds of all of them."""
    sections, model = trial.sections, trial.name
    prepare(paths, sections)
    began = cpu_seconds()
    plan.run(sections.plan, models={model: sections.train}, paths=paths)
    preprocess.run(sections.preprocess, paths=paths)
    annotate.run(sections.annotate, paths=paths)
    weigh.run(sections.weigh, paths=paths)
    compute = build_compute(sections.compute)
    train.run(sections.train, model=model, fold=0, compute=compute, paths=paths)
    steps = sections.train.epochs * sections.train.steps_per_epoch
    return {"learning_s": cpu_seconds() - began, "steps": steps}


def cpu_seconds() -> float:
    """CPU seconds of this process and of those that it waited for."""
    return sum(os.times()[:4])


def segment_tests(model: str, source: Path, folder: Path, paths: Paths) -> None:
    """Write the instance ids of the test images as the peers do."""
    sides = choose_sides(read_rows(source))
    names = [name for name, side in sides.items() if side == "test"]
    images = [source / "images" / f"{name}.png" for name in names]
    masks = folder / "masks"
    settings = SegmentSettings(instances=True, overlay=False)
    trained = str(paths.artifacts / "train" / model)
    done = segment(trained, images, masks, settings, force=False, paths=paths)
    assert not done.failed, done.failed
    for name in names:
        (file,) = masks.rglob(f"{name}_instances.*")
        np.save(folder / f"{name}.npy", read_ids(file).astype(np.int32))
