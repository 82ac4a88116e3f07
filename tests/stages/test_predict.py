"""Predictions: where the image was, in the data's own values."""

import ctypes
import json
from pathlib import Path

import numpy as np
import pytest
from distributed import LocalCluster

from segpipe.dataset.split import read_split
from segpipe.images.formats.nifti import (
    read_image,
    read_label,
    write_image,
    write_label,
)
from segpipe.images.formats.raster import read_label as read_png
from segpipe.images.grid import Grid
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.segmenter.inference.inference import Inference
from segpipe.segmenter.segmenter import Segmenter
from segpipe.stages import predict
from tests.support import forks
from tests.support.phantoms import write_dataset
from tests.support.projects import (
    PATIENTS,
    PREDICT,
    TRAIN,
    changed,
    one_thread,
    run_to_annotate,
    train,
    with_loss,
)

PARAMS = changed(
    TRAIN,
    epochs=2,
    steps_per_epoch=40,
    base_channels=4,
    sparse_annotation=False,
    border_weights=False,
    class_weights="none",
    loss=with_loss("dice_cross_entropy"),
)


def run(paths: Paths, folds: list[int]) -> Path:
    predict.run(PREDICT, model="m", folds=folds, compute=one_thread(), paths=paths)
    return paths.artifacts / "predict" / "m"


def turned(paths: Paths) -> None:
    """Store every case in another orientation, obliquely."""
    affine = np.array(
        [[0, 0, -2, 9], [-0.6, 0.8, 0, 1], [0.8, 0.6, 0, 2], [0, 0, 0, 1]]
    )
    for folder, read, write in (
        ("imagesTr", lambda f: read_image(f).array[0], write_image),
        ("labelsTr", lambda f: read_label(f).array, write_label),
    ):
        for file in (paths.data / folder).iterdir():
            array = read(file)
            write(file, array, Grid(array.shape, affine, "mm"))


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    paths = Paths(tmp_path_factory.mktemp("project"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{paths.root}/runs.db")
        write_dataset(paths.data, cases=10, patients=PATIENTS)
        turned(paths)
        run_to_annotate(paths, {"m": PARAMS})
        for fold in (0, 1):
            train(paths, PARAMS, model="m", fold=fold)
    return paths


def test_predictions_lie_where_the_image_lies_in_the_datas_values(paths: Paths) -> None:
    folder = run(paths, [0])

    names = read_split(paths.artifacts).test
    found = sorted(path.name for path in folder.iterdir())
    assert found == [*(f"{name}.nii" for name in names), "predictions.json"]
    for name in names:
        prediction = read_label(folder / f"{name}.nii")
        image = read_image(paths.data / "imagesTr" / f"{name}_0000.nii")
        assert prediction.grid.matches(image.grid, tolerance=1e-4)
        assert set(np.unique(prediction.array)) <= {0, 1, 3}
        reference = read_label(paths.data / "labelsTr" / f"{name}.nii").array
        both = ((prediction.array > 0) & (reference > 0)).sum()
        assert 2 * both / ((prediction.array > 0).sum() + (reference > 0).sum()) > 0.4


def test_several_folds_are_averaged_and_only_listed_ones_read(paths: Paths) -> None:
    first, both = (
        json.loads((run(paths, folds) / "predictions.json").read_text())
        for folds in ([0], [0, 1])
    )
    again = json.loads((run(paths, [0]) / "predictions.json").read_text())

    assert both["folds"] == [0, 1]
    assert first["segmenter"] != both["segmenter"]
    assert again == first


def test_a_cluster_predicts_the_same_bytes(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its workers read the segmenter from its folder; no network is sent."""
    files = sorted(run(paths, [0, 1]).iterdir())
    here = [file.read_bytes() for file in files]
    with LocalCluster(
        n_workers=1, threads_per_worker=1, dashboard_address=None
    ) as cluster:
        monkeypatch.setenv("SEGPIPE_DASK", cluster.scheduler_address)
        again = sorted(run(paths, [0, 1]).iterdir())

    assert again == files
    assert [file.read_bytes() for file in again] == here


def test_a_fold_that_is_not_trained_is_said(paths: Paths) -> None:
    with pytest.raises(DataError, match=r"train/m/7/segmenter"):
        run(paths, [7])


def test_images_come_back_as_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/runs.db")
    paths = Paths(tmp_path)
    flat = changed(PARAMS, network="unet2d", patch_size=(48, 48, 1), steps_per_epoch=4)
    write_dataset(paths.data, dimensions=2, cases=10, patients=PATIENTS)
    run_to_annotate(paths, {"m": flat})
    train(paths, flat, model="m")
    folder = run(paths, [0])

    for name in read_split(paths.artifacts).test:
        prediction = read_png(folder / f"{name}.png")
        assert prediction.array.shape == (64, 64, 1)
        assert set(np.unique(prediction.array)) <= {0, 1, 3}


def peak() -> int:
    """The most bytes that this process held; not ru_maxrss, which a fork inherits."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def watch_memory(paths: Paths, small: Path) -> str:
    """What predict needs above what this process holds after a small case.

    What torch itself keeps from the first convolution on is no part of a case.
    """
    assert ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, 131072) == 1
    folder = paths.artifacts / "train" / "m" / "0" / "segmenter"
    inference = Inference(0.25, "gaussian", 1.0, False, one_thread())
    Segmenter.ensemble([folder]).segment(read_image(small), inference)
    before = peak()
    run(paths, [0])
    return str(peak() - before)


M_MMAP_THRESHOLD = -3  # of mallopt


@pytest.mark.slow
def test_memory_stays_within_six_times_the_largest_case(
    paths: Paths, tmp_path: Path
) -> None:
    """Above what the process holds after a small case; the case as float32.

    Freed memory goes back at once here: else glibc keeps up to 4 cases more for later.
    """
    shape = (112, 104, 96)
    name = read_split(paths.artifacts).test[0]
    grid = Grid.from_spacing(shape, (1.1, 0.9, 1.9), "mm")
    file = paths.data / "imagesTr" / f"{name}_0000.nii"
    small = file.read_bytes()
    noise = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    write_image(file, noise, grid)

    other = paths.data / "imagesTr" / "case_00_0000.nii"
    try:
        needed = int(forks.answer(watch_memory, tmp_path / "needed", paths, other))
    finally:
        file.write_bytes(small)

    case = np.prod(shape) * 4
    assert case < needed <= 6 * case
