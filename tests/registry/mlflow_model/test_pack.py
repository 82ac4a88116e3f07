"""A segmenter as an MLflow model: files of code, numbers and words, no pickle."""

from pathlib import Path

import pytest

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
