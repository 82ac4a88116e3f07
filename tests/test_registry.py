from pathlib import Path

import pytest

from segpipe.errors import DataError
from segpipe.paths import Paths
from segpipe.registry import fetch
from segpipe.segmenter import segmenter_digest
from segpipe.tools.segmenting import load_segmenter
from segpipe.tracking import connect
from tests.segmenters import make_plan, save_segmenter


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    """A real store with a registered segmenter of two folds."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/runs.db")
    paths = Paths(tmp_path)
    for fold in (0, 1):
        folder = tmp_path / "m" / str(fold) / "segmenter"
        save_segmenter(folder, make_plan(), seed=fold)
    client, experiment = connect(paths)
    run = client.create_run(experiment)
    client.log_artifacts(run.info.run_id, str(tmp_path / "m"), "segmenter")
    client.create_registered_model("liver")
    source = f"{run.info.artifact_uri}/segmenter"
    version = client.create_model_version("liver", source, run.info.run_id)
    client.set_registered_model_alias("liver", "champion", version.version)
    return paths


@pytest.mark.parametrize("uri", ["models:/liver@champion", "models:/liver/1"])
def test_a_registered_segmenter_is_fetched_whole(paths: Paths, uri: str) -> None:
    found = fetch(uri, paths)
    again = fetch(uri, paths)

    assert (found.name, found.version) == ("liver", "1")
    assert found == again
    segmenter, record = load_segmenter(uri, paths)
    digests = [
        segmenter_digest(paths.root / "m" / str(fold) / "segmenter") for fold in (0, 1)
    ]
    assert record.folds == tuple(digests)
    assert (record.name, record.version, record.run) == ("liver", "1", found.run)
    assert len(segmenter.networks) == 2


@pytest.mark.parametrize("uri", ["models:/liver@nobody", "models:/kidney/1"])
def test_what_is_not_registered_is_said(paths: Paths, uri: str) -> None:
    with pytest.raises(DataError, match="expected a registered segmenter"):
        fetch(uri, paths)
