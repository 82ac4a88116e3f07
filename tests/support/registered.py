"""A project whose model is trained and evaluated, ready to be registered."""

import subprocess
from pathlib import Path

from segpipe.dataset.split import read_split
from segpipe.images.formats.files import read_label
from segpipe.images.formats.nifti import write_label
from segpipe.images.grid import Grid
from segpipe.project.documents import write_json, write_text
from segpipe.project.paths import Paths
from segpipe.registry.mlflow_model.provenance import FILE, Provenance
from segpipe.segmenter.spec import (
    ensemble_digest,
    predictions_digest,
    segmenter_digest,
)
from segpipe.stages import evaluate
from tests.support.phantoms import write_dataset
from tests.support.projects import EVALUATE, PATIENTS, run_to_split
from tests.support.segmenters import make_plan, save_segmenter
from tests.support.trainings import write_training

FOLDS = (0, 1)
MODEL = "m"


def write_project(root: Path, *, seed: int = 0) -> Paths:
    """Two folds with random weights, and the figures of made-up predictions."""
    paths = Paths(root)
    write_dataset(paths.data, cases=10, patients=PATIENTS)
    write_text(
        paths.params, f"format_version: 1\nmodels: [{MODEL}]\nfolds: {list(FOLDS)}\n"
    )
    run_to_split(paths)
    train(paths, seed=seed)
    return paths


def train(paths: Paths, *, seed: int) -> None:
    """Folds of another seed, as if trained anew, and their figures."""
    for fold in FOLDS:
        folder = paths.artifacts / "train" / MODEL / str(fold)
        write_training(paths, MODEL, fold, seed=seed)
        plan = make_plan(spacing=(1.0, 1.0, 2.0), shape=(24, 20, 16))
        save_segmenter(folder / "segmenter", plan, seed=seed + fold)
    measure(paths)


def measure(paths: Paths) -> None:
    """Predictions that are the references, moved by a voxel; and their figures."""
    folder = paths.artifacts / "predict" / MODEL
    names = read_split(paths.artifacts).test
    for name in names:
        label = read_label(paths.data / "labelsTr" / f"{name}.nii")
        grid = Grid(label.grid.shape, label.grid.affine, "mm")
        moved = label.array.copy()
        moved[1:] = label.array[:-1]
        folder.mkdir(parents=True, exist_ok=True)
        write_label(folder / f"{name}.nii", moved, grid)
    digests = [
        segmenter_digest(paths.artifacts / "train" / MODEL / str(fold) / "segmenter")
        for fold in FOLDS
    ]
    write_json(
        folder / "predictions.json",
        {
            "format_version": 1,
            "model": MODEL,
            "folds": list(FOLDS),
            "segmenter": predictions_digest(digests),
            "cases": list(names),
        },
    )
    evaluate.run(EVALUATE, model=MODEL, paths=paths)


def write_lock(paths: Paths, *files: Path) -> None:
    """A dvc.lock that lists files as the outputs of a stage, with their MD5s."""
    lines = ["schema: '2.0'", "stages:", "  evaluate@m:", "    outs:"]
    for file in files:
        words = ["md5sum", str(file)]
        md5 = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        lines += [f"    - path: {file.relative_to(paths.root)}", "      hash: md5"]
        lines += [f"      md5: {md5.split()[0]}"]
    write_text(paths.root / "dvc.lock", "\n".join(lines) + "\n")


def write_provenance(folder: Path, folds: list[str]) -> None:
    """Write what is known of a packed segmenter: the digests of its folds alone."""
    Provenance(
        format_version=1,
        model=MODEL,
        digest=ensemble_digest(folds),
        patients=(),
        data=None,
        lock=None,
        commit=None,
        dirty=False,
        metrics={},
    ).write(folder / FILE)
