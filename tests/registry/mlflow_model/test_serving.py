"""What a registered segmenter takes and gives: geometry is never guessed."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from mlflow.exceptions import MlflowException
from mlflow.models.utils import _enforce_schema

from segpipe.images.grid import Grid
from segpipe.images.volume import Image
from segpipe.networks.build import NetworkSpec, build_network
from segpipe.networks.catalogue import NETWORKS
from segpipe.project.errors import DataError
from segpipe.registry.mlflow_model.provenance import FILE
from segpipe.registry.mlflow_model.serving import (
    RegisteredSegmenter,
    build_signature,
    default_inference,
    numbered_folders,
)
from segpipe.segmenter.segmenter import Segmenter
from segpipe.segmenter.spec import segmenter_digest
from tests.support.narrow import narrow
from tests.support.registered import write_provenance
from tests.support.segmenters import make_plan, make_segmenter, save_segmenter

AFFINE = np.array([[0, 0, -2, 9], [-0.6, 0.8, 0, 1], [0.8, 0.6, 0, 2], [0, 0, 0, 1]])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two folds of two channels, as they lie in a registered model."""
    folder = tmp_path_factory.mktemp("segmenter")
    plan = make_plan(channels=("T1", "T2"))
    folds = [
        segmenter_digest(save_segmenter(folder / str(n), plan, seed=n)) for n in (2, 10)
    ]
    write_provenance(folder, folds)
    return folder


def load(folder: Path) -> RegisteredSegmenter:
    model = RegisteredSegmenter()
    model.load_context(context=SimpleNamespace(artifacts={"segmenter": str(folder)}))
    return model


@pytest.mark.parametrize("network", [n for n in NETWORKS if n.startswith("monai/")])
def test_a_network_of_monai_labels_like_its_segmenter(
    network: str, tmp_path: Path
) -> None:
    patch = (64, 32, 32)
    plain = make_segmenter(make_plan(channels=("T1", "T2")), patch_size=patch)
    spec = NetworkSpec(
        name=network, in_channels=2, out_channels=3, padding="same", **narrow(network)
    ).for_patch(patch, (1.0, 1.0, 1.0), plain.spec.slice_axis)
    torch.manual_seed(0)
    made = Segmenter(
        plain.spec.model_copy(update={"network": spec}), (build_network(spec).eval(),)
    )
    made.save(tmp_path / "0")
    write_provenance(tmp_path, [segmenter_digest(tmp_path / "0")])
    image, grid = draw(), Grid((16, 18, 20), AFFINE, "mm")

    labels = load(tmp_path).predict(None, image, {"affine": AFFINE.ravel().tolist()})

    expected = made.segment(Image(image[0], grid), default_inference()).array
    np.testing.assert_array_equal(labels[0], expected)


def draw() -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.normal(size=(1, 2, 16, 18, 20)).astype(np.float32)


def test_it_gives_the_labels_of_the_ensemble_on_the_images_own_grid(
    folder: Path,
) -> None:
    image = draw()
    params = {"affine": AFFINE.ravel().tolist()}

    labels = load(folder).predict(None, image, params)

    ensemble = Segmenter.ensemble([folder / "2", folder / "10"])
    grid = Grid((16, 18, 20), AFFINE, "mm")
    expected = ensemble.segment(Image(image[0], grid), default_inference()).array
    np.testing.assert_array_equal(labels[0], expected)
    assert set(np.unique(labels)) <= {0, 3, 7}
    assert labels.dtype == build_signature(ensemble.spec).outputs.inputs[0].type


@pytest.mark.parametrize(
    "params",
    [
        None,
        {},
        {"affine": []},
        {"affine": [1.0] * 15},
        {"affine": [0.0] * 16},
        {"affine": np.full(16, np.nan)},
        {"affine": AFFINE.T.ravel()},  # column after column
    ],
)
def test_geometry_is_never_guessed(folder: Path, params: Any) -> None:
    with pytest.raises(DataError, match=r"affine: expected 16 numbers, row by row"):
        load(folder).predict(None, draw(), params)


def test_intensities_that_are_no_numbers_are_refused(folder: Path) -> None:
    image = draw()
    image[0, 1, 3, 4, 5] = np.inf

    with pytest.raises(DataError, match="expected finite intensities"):
        load(folder).predict(None, image, {"affine": AFFINE.ravel()})


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((1, 1, 8, 8, 8), np.float32),  # channels
        np.zeros((2, 2, 8, 8, 8), np.float32),  # images
        np.zeros((1, 2, 8, 8), np.float32),
        np.zeros((1, 2, 8, 8, 8), np.float64),
        np.zeros((1, 2, 8, 8, 8), np.int16),
    ],
)
def test_the_signature_refuses_other_channels_and_types(
    folder: Path, image: np.ndarray
) -> None:
    signature = build_signature(Segmenter.load(folder / "2").spec)

    with pytest.raises(
        MlflowException, match=r"does not match expected|dtype of input"
    ):
        _enforce_schema(image, signature.inputs)


def test_folds_come_in_the_order_of_their_numbers(folder: Path) -> None:
    assert [path.name for path in numbered_folders(folder)] == ["2", "10"]


def test_files_that_are_not_those_registered_are_refused(
    folder: Path, tmp_path: Path
) -> None:
    save_segmenter(tmp_path / "0", make_plan(channels=("T1", "T2")), seed=3)
    (tmp_path / FILE).write_bytes((folder / FILE).read_bytes())

    with pytest.raises(DataError, match=r"expected the segmenter .* found"):
        load(tmp_path)
