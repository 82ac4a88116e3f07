"""Data at the edges of what is allowed go through every stage, with two steps."""

import csv
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from segpipe.dataset.case import read_cases
from segpipe.dataset.case_files import read_prediction
from segpipe.images.formats.nifti import write_image, write_label
from segpipe.images.formats.raster import write_image as write_colours
from segpipe.images.formats.raster import write_label as write_png
from segpipe.images.grid import Grid, Triple
from segpipe.networks.catalogue import NetworkName
from segpipe.project.documents import write_json, write_text
from segpipe.project.paths import Paths
from segpipe.stages import evaluate, predict, report
from tests.support.projects import (
    EVALUATE,
    PREDICT,
    TRAIN,
    changed,
    one_thread,
    run_to_annotate,
    train,
)

SIDES = ("0", "0", "1", "1", "test", "test")  # of case_00, case_01, ...


def one_box(label: np.ndarray) -> None:
    """A structure in the middle."""
    i, j, k = (slice(n // 3, max(n // 3 + 1, 2 * n // 3)) for n in label.shape)
    label[i, j, k] = 1


def hundred_boxes(label: np.ndarray) -> None:
    """100 structures of 2 x 2 x 2 voxels."""
    for value in range(1, 101):
        i, j, k = np.unravel_index(value - 1, (5, 5, 4))
        label[4 * i : 4 * i + 2, 4 * j : 4 * j + 2, 4 * k : 4 * k + 2] = value


@dataclass(frozen=True)
class Extreme:
    """A data set; in the cases ``without``, its last structure is absent."""

    shape: Triple
    networks: tuple[NetworkName, ...]
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)
    channels: int = 1
    structures: int = 1
    draw: Callable[[np.ndarray], None] = one_box
    without: tuple[int, ...] = ()
    folds: tuple[int, ...] = (0,)


EXTREMES = {
    "6 x 6 x 6": Extreme((6, 6, 6), ("unet2d", "unet3d", "vnet")),
    "8 x 8 x 8": Extreme((8, 8, 8), ("unet2d", "unet3d", "vnet")),
    "a structure absent from a fold": Extreme(
        (16, 16, 16), ("unet3d",), structures=2, without=(2, 3), folds=(0, 1)
    ),
    "100 structures": Extreme(
        (20, 20, 16), ("unet3d",), structures=100, draw=hundred_boxes
    ),
    "anisotropy 15": Extreme((32, 30, 4), ("unet2d", "unet3d"), (1.0, 1.0, 15.0)),
    "colours": Extreme((32, 30, 1), ("unet2d",), channels=3),
}


def write(folder: Path, extreme: Extreme) -> None:
    """Six cases of six patients, two on each side."""
    flat = extreme.shape[2] == 1
    for number in range(len(SIDES)):
        name, rng = f"case_{number:02d}", np.random.default_rng(number)
        label = np.zeros(extreme.shape, dtype=np.uint8)
        extreme.draw(label)
        if extreme.structures == 2 and number not in extreme.without:
            label[-3:, -3:, -3:] = 2
        noise = rng.integers(0, 40, (extreme.channels, *extreme.shape))
        image = (noise + 150 * (label > 0)).astype(np.uint8)
        if flat:
            write_colours(folder / "imagesTr" / f"{name}_0000.png", image)
            write_png(folder / "labelsTr" / f"{name}.png", label)
        else:
            grid = Grid.from_spacing(extreme.shape, extreme.spacing, "mm")
            write_image(folder / "imagesTr" / f"{name}_0000.nii", image[0], grid)
            write_label(folder / "labelsTr" / f"{name}.nii", label, grid)
    labels = {f"structure {n}": n for n in range(1, extreme.structures + 1)}
    write_json(
        folder / "dataset.json",
        {
            "channel_names": {str(n): f"channel {n}" for n in range(extreme.channels)},
            "labels": {"background": 0, **labels},
            "numTraining": len(SIDES),
            "file_ending": ".png" if flat else ".nii",
        },
    )
    rows = [f"case_{number:02d},{side}" for number, side in enumerate(SIDES)]
    write_text(folder / "splits.csv", "\n".join(["patient,side", *rows]) + "\n")


@pytest.mark.parametrize("name", EXTREMES)
def test_it_is_trained_predicted_and_evaluated(name: str, tmp_path: Path) -> None:
    extreme, paths = EXTREMES[name], Paths(tmp_path)
    write(paths.data, extreme)
    models = {
        network: changed(
            TRAIN,
            network=network,
            base_channels=1,
            patch_size="auto",
            border_weights=False,
            sparse_annotation=False,
            epochs=1,
            steps_per_epoch=2,
            calibrate=True,
            postprocessing="auto",
        )
        for network in extreme.networks
    }
    run_to_annotate(paths, models)
    folds = list(extreme.folds)
    for model, params in models.items():
        for fold in folds:
            folder = train(paths, params, model=model, fold=fold)
            with (folder / "history.csv").open() as file:
                (row,) = csv.DictReader(file)
            assert math.isfinite(float(row["training_loss"]))
        predict.run(
            PREDICT, model=model, folds=folds, compute=one_thread(), paths=paths
        )
        evaluate.run(EVALUATE, model=model, paths=paths)
        for case in ("case_04", "case_05"):
            found = read_prediction(
                paths.artifacts, model, read_cases(paths.artifacts), case
            )
            assert found is not None
            assert found.array.shape == extreme.shape
            assert found.array.max() <= extreme.structures
    report.run(
        report.ReportParams(overlays=True),
        models=list(models),
        folds=folds,
        paths=paths,
    )
    page = (paths.artifacts / "report" / "index.html").read_text()
    assert ("Of 100 structures the 8 with" in page) == (extreme.structures == 100)
