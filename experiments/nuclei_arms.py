"""Arms of nuclei: all methods learn from the same images and segment the same ones."""

import logging
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int32, Integer, UInt8

from experiments import arms
from experiments.arms import ABOUT, CHANGES, FOLD, Run, cpu_seconds, learn, read_run
from experiments.nuclei_sides import Row, choose_sides, read_rows
from experiments.trials import Trial, merged, read_sections, trial_key
from segpipe.images.formats.files import read_image, read_label
from segpipe.project.documents import write_json, write_text
from segpipe.project.paths import Paths
from segpipe.segmenter.settings import SegmentSettings
from segpipe.tools.importing.conversion import ImportOptions
from segpipe.tools.importing.run import import_dataset
from segpipe.tools.segmenting.run import segment

log = logging.getLogger(__name__)
PEERS = {  # title to the script of benchmarks/peers and its environment
    "Otsu + distance watershed": "otsu",
    "StarDist 0.9.2": "stardist",
    "Cellpose 3.1.1": "cellpose",
}
SEEDLESS = {"otsu"}


def read_prediction(run: Run, name: str) -> Int32[np.ndarray, "row column"]:
    """The predicted instance ids of a test image."""
    array: Int32[np.ndarray, "row column"] = np.load(run.folder / f"{name}.npy")
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
    budget = "" if peer in SEEDLESS else f"-{seconds:g}-{seed}"
    return arms.run_peer(
        f"nuclei_{peer}.py",
        environments / peer,
        exchange=work / "exchange",
        folder=work / "runs" / f"{peer}{budget}",
        seconds=seconds,
        seed=seed,
    )


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
    return read_run(folder)


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
