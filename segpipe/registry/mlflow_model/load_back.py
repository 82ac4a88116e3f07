"""load_back: check that a logged model gives the same labels as its folds.

The model runs in another process, ``python -m segpipe.registry.mlflow_model.load_back
MODEL IMAGE.npz LABELS.npy``, which is given only its id and an image, and refuses
pickle.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from jaxtyping import Integer

from segpipe.approval.use import trial
from segpipe.dataset.case import read_cases
from segpipe.dataset.case_files import read_case, read_case_label
from segpipe.dataset.split import read_split
from segpipe.images.grid import Grid
from segpipe.images.volume import Image
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.registry.mlflow_model.pack import load_model
from segpipe.registry.store import tracking_uri
from segpipe.segmenter.inference.inference import Inference
from segpipe.segmenter.segmenter import Segmenter

LARGEST = 96  # voxels along an axis of what is segmented twice
PROJECT = Path(__file__).parents[3]


def check_loads_back(
    model: str, segmenter: Segmenter, inference: Inference, paths: Paths
) -> None:
    """Segment a test case with a logged model and with its folds, and compare.

    Args:
        model: Id of the logged model.
        segmenter: The folds that it was packed from.
        inference: How the model segments.
        paths: Folders of the project whose first test case is segmented.

    Raises:
        DataError: If the model cannot be loaded, or any voxel's label differs.
    """
    name, image = read_test_image(paths)
    expected = segmenter.segment(image, inference).array
    found = _segment_elsewhere(model, image, paths)
    if found.shape != expected.shape or (found != expected).any():
        differ = "another shape"
        if found.shape == expected.shape:
            differ = f"{np.count_nonzero(found != expected)} of {found.size} others"
        raise DataError(
            f"logged model {model}: expected on case {name} the labels that its folds "
            f"give, found {differ}; nothing was registered: does MLflow load another "
            "segpipe?"
        )


def read_test_image(paths: Paths) -> tuple[str, Image]:
    """Name and image of the first test case, cropped around structures if large."""
    cases = read_cases(paths.artifacts)
    name = read_split(paths.artifacts).test[0]
    image = read_case(paths.data, cases, cases[name])
    if max(image.grid.shape) <= LARGEST:
        return name, image
    label = read_case_label(paths.data, cases, cases[name]).array
    return name, cut(image, around=(label != 0) & (label != cases.ignore))


def cut(image: Image, *, around: np.ndarray) -> Image:
    """Crop an image to at most LARGEST voxels an axis, around the middle of a mask."""
    where = np.argwhere(around)
    shape = np.array(image.grid.shape)
    middle = np.median(where, axis=0) if len(where) else shape / 2
    start = np.clip(
        middle.astype(int) - LARGEST // 2, 0, np.maximum(shape - LARGEST, 0)
    )
    i, j, k = (slice(int(n), int(n) + LARGEST) for n in start)
    array = np.ascontiguousarray(image.array[:, i, j, k])
    affine = image.grid.affine.copy()
    affine[:3, 3] = image.grid.points_of(start[np.newaxis].astype(np.float64))[0]
    _, *size = array.shape
    return Image(array, Grid((size[0], size[1], size[2]), affine, image.grid.unit))


def _segment_elsewhere(
    model: str, image: Image, paths: Paths
) -> Integer[np.ndarray, "i j k"]:
    """Segment an image with the logged model, in another process."""
    with tempfile.TemporaryDirectory() as folder:
        given, taken = Path(folder) / "image.npz", Path(folder) / "labels.npy"
        np.savez(given, array=image.array, affine=image.grid.affine)
        known = os.environ.get("PYTHONPATH")
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(PROJECT), *([known] if known else [])]),
            "MLFLOW_TRACKING_URI": tracking_uri(paths),
            "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        }
        words = [
            "-m",
            "segpipe.registry.mlflow_model.load_back",
            model,
            str(given),
            str(taken),
        ]
        done = subprocess.run(
            [sys.executable, *words],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise DataError(
                f"logged model {model}: expected it to load and to segment a test case,"
                f" found {done.stderr[-2000:].strip()}; nothing was registered"
            )
        return np.asarray(np.load(taken))


def main(model: str, given: str, taken: str) -> None:
    """Load a logged model, segment an image, write its label map."""
    with np.load(given) as image:
        array, affine = image["array"], image["affine"]
    params = {"affine": affine.ravel().tolist()}
    with trial():  # registering asks for no approval, which needs a version
        labels = load_model(model).predict(array[np.newaxis], params=params)
    np.save(taken, labels[0])


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except DataError as error:
        sys.exit(f"{error}")
