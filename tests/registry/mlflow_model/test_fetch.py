"""A registered segmenter is fetched whole, and is the one that was registered."""

import shutil
from pathlib import Path

import pytest

from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.registry.mlflow_model.fetch import fetch, find_folds, load_segmenter
from segpipe.registry.store import connect
from segpipe.segmenter.spec import segmenter_digest
from tests.support.segmenters import make_plan, save_segmenter
from tests.support.stores import add_version


@pytest.mark.parametrize("uri", ["models:/liver@champion", "models:/liver/1"])
def test_a_registered_segmenter_is_fetched_whole(store: Paths, uri: str) -> None:
    found = fetch(uri, store)
    again = fetch(uri, store)

    assert (found.name, found.version) == ("liver", "1")
    assert found == again
    segmenter, record = load_segmenter(uri, store)
    digests = [segmenter_digest(store.root / "m" / str(fold)) for fold in (0, 1)]
    assert record.folds == tuple(digests)
    assert (record.name, record.version, record.run) == ("liver", "1", found.run)
    assert len(segmenter.networks) == 2


@pytest.mark.parametrize("uri", ["models:/liver@nobody", "models:/kidney/1"])
def test_what_is_not_registered_is_said(store: Paths, uri: str) -> None:
    with pytest.raises(DataError, match="expected a registered segmenter"):
        fetch(uri, store)


def test_version_1_of_another_store_is_not_taken_for_this_one(
    store: Paths, tables: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = fetch("models:/liver/1", store)
    shutil.copyfile(tables, store.root / "other.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{store.root}/other.db")
    add_version(store)

    assert fetch("models:/liver/1", store).folder != first.folder


def test_files_that_are_not_those_of_the_digest_are_refused(store: Paths) -> None:
    client, _ = connect(store)
    client.set_model_version_tag("liver", "1", "segpipe.segmenter", "0" * 64)

    with pytest.raises(DataError, match="expected the segmenter 000000000000 that was"):
        load_segmenter("models:/liver/1", store)


def test_folds_are_found_in_their_order(tmp_path: Path) -> None:
    for fold in (0, 2, 10):
        save_segmenter(tmp_path / "m" / str(fold) / "segmenter", make_plan(), seed=fold)

    folders = find_folds(tmp_path / "m")

    assert [folder.parent.name for folder in folders] == ["0", "2", "10"]
    record = load_segmenter(str(tmp_path / "m"), Paths(tmp_path))[1]
    assert len(record.folds) == 3
