"""A segmenter as an MLflow model: files of code, numbers and words, no pickle."""

from pathlib import Path

import numpy as np
import pytest

from segpipe.images.grid import Grid
from segpipe.images.volume import Image
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.registry.mlflow_model import serving
from segpipe.registry.mlflow_model.pack import (
    Packed,
    close_model,
    load_model,
    log_model,
)
from segpipe.registry.store import connect
from segpipe.segmenter.segmenter import Segmenter
from segpipe.segmenter.spec import segmenter_digest
from tests.support.registered import write_provenance
from tests.support.segmenters import make_plan, save_segmenter


@pytest.fixture
def paths(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> Paths:
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    return paths


def test_a_model_is_logged_with_its_files_and_nothing_is_pickled(paths: Paths) -> None:
    folder = paths.root / "packed"
    for fold in (0, 3):
        save_segmenter(folder / str(fold), make_plan(), seed=fold)
    spec = Segmenter.load(folder / "0").spec
    client, experiment = connect(paths)
    run = client.create_run(experiment).info.run_id
    packed = Packed(
        folder=folder,
        code=Path(serving.__file__),
        signature=serving.build_signature(spec),
        requirements=("torch==2.13.0",),
        about={"segpipe": "0.1.0"},
    )

    model = log_model(packed, run, paths)

    logged = client.get_logged_model(model)
    place = paths.store_files / logged.artifact_location.removeprefix(
        "mlflow-artifacts:/"
    )
    files = {str(f.relative_to(place)) for f in place.rglob("*") if f.is_file()}
    weights = [f"artifacts/packed/{n}/weights-0.safetensors" for n in (0, 3)]
    assert {"MLmodel", "serving.py", *weights} <= files
    assert not [name for name in files if name.endswith(("pkl", "pickle", "pt"))]
    assert logged.status == "PENDING"
    assert logged.source_run_id == run
    assert "torch==2.13.0" in (place / "requirements.txt").read_text()
    about = (place / "MLmodel").read_text()
    assert f"model_id: {model}" in about
    assert f"run_id: {run}" in about
    close_model(model, paths, good=True)
    assert client.get_logged_model(model).status == "READY"


def test_what_is_loaded_is_the_model_of_the_id(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This one has no provenance: load_context says so, and was therefore called."""
    spec = Segmenter.load(save_segmenter(paths.root / "p" / "0", make_plan())).spec
    client, experiment = connect(paths)
    run = client.create_run(experiment).info.run_id
    code, signature = Path(serving.__file__), serving.build_signature(spec)
    model = log_model(Packed(paths.root / "p", code, signature, (), {}), run, paths)
    uri = f"sqlite:///{paths.root}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)

    with pytest.raises(DataError, match=rf"{model}.*provenance\.json: expected"):
        load_model(model)


def test_mask_r_cnn_is_loaded_and_labels_as_its_segmenter(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It finds what is to be computed while it runs, and no graph is kept of it."""
    folder = save_segmenter(
        paths.root / "p" / "0", make_plan(), network="maskrcnn", patch_size=(16, 16, 1)
    )
    made = Segmenter.load(folder)
    write_provenance(folder.parent, [segmenter_digest(folder)])
    client, experiment = connect(paths)
    run = client.create_run(experiment).info.run_id
    code, signature = Path(serving.__file__), serving.build_signature(made.spec)
    model = log_model(Packed(folder.parent, code, signature, (), {}), run, paths)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{paths.root}/mlflow.db")
    noise = np.random.default_rng(0).normal(size=(1, 1, 16, 16, 2)).astype(np.float32)

    labels = load_model(model).predict(noise, params={"affine": np.eye(4).ravel()})

    image = Image(noise[0], Grid((16, 16, 2), np.eye(4), "mm"))
    expected = made.segment(image, serving.default_inference()).array
    np.testing.assert_array_equal(labels[0], expected)
    assert expected.any()
