"""A registered segmenter is fetched whole, and is the one that was registered."""

import shutil
from pathlib import Path

import pytest

from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.registry.mlflow_model.fetch import fetch, load_segmenter
from segpipe.registry.store import connect
from segpipe.segmenter.spec import segmenter_digest
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
    store: Paths, empty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = fetch("models:/liver/1", store)
    shutil.copyfile(empty, store.root / "other.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{store.root}/other.db")
    add_version(store)

    assert fetch("models:/liver/1", store).folder != first.folder


def test_files_that_are_not_those_of_the_digest_are_refused(store: Paths) -> None:
    client, _ = connect(store)
    client.set_model_version_tag("liver", "1", "segpipe.segmenter", "0" * 64)

    with pytest.raises(DataError, match="expected the segmenter 000000000000 that was"):
        load_segmenter("models:/liver/1", store)
