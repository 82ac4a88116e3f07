"""A registered segmenter is fetched whole, and is the one that was registered."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from segpipe.__main__ import app
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.registry.mlflow_model.fetch import fetch
from segpipe.registry.mlflow_model.locate import load_segmenter
from segpipe.registry.mlflow_model.provenance import FILE
from segpipe.registry.store import connect
from segpipe.segmenter.spec import segmenter_digest
from tests.support.stores import add_sealed, add_version


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


def with_(key: str, value: Any) -> Callable[[Path], object]:
    """Write another value into a JSON document."""

    def change(file: Path) -> None:
        file.write_text(json.dumps({**json.loads(file.read_text()), key: value}))

    return change


CHANGES: dict[str, tuple[str, Callable[[Path], object]]] = {
    "no patients": (FILE, with_("patients", [])),
    "better figures": (FILE, with_("metrics", {"test/dice": 0.99})),
    "no provenance": (FILE, Path.unlink),
    "another spec": ("0/spec.json", with_("temperatures", [2.0])),
    "no weights": ("1/weights-0.safetensors", Path.unlink),
}
COMMANDS = {
    "segment": ["segment", "models:/sealed/1", "new", "--output", "masks"],
    "compare": ["compare", "m", "models:/sealed/1"],
    "export": ["export", "models:/sealed/1", "onnx"],
    "promote": ["promote", "1", "--name", "sealed", "--why", "better"],
}


@pytest.mark.parametrize("place", ["mlartifacts", ".cache/registry"])
def test_evidence_that_was_changed_is_refused_at_every_door(
    store: Paths, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """In the registry's files, and in the copy of them; each mend is followed."""
    monkeypatch.chdir(store.root)
    (store.root / "new").mkdir()
    add_sealed(store)
    assert fetch("models:/sealed/1", store).sealed
    (provenance,) = (store.root / place).rglob(FILE)
    kept = store.root / "kept"
    shutil.copytree(provenance.parent, kept)
    for what, (name, change) in CHANGES.items():
        change(provenance.parent / name)
        if place == "mlartifacts":
            shutil.rmtree(store.cache)
        for command, words in COMMANDS.items():
            error = CliRunner().invoke(app, words).exception
            assert isinstance(error, DataError), f"{what}, {command}: {error}"
            assert "that was registered as models:/sealed/1, found" in str(error)
            assert "delete the folder, which is a copy" in str(error)
        if place == "mlartifacts":  # put a backup back
            shutil.copytree(kept, provenance.parent, dirs_exist_ok=True)
        shutil.rmtree(store.cache)  # delete the folder

        assert fetch("models:/sealed/1", store).sealed


def test_a_version_of_before_has_no_seal_and_is_loaded_with_a_warning(
    store: Paths, caplog: pytest.LogCaptureFixture
) -> None:
    load_segmenter("models:/liver/1", store)

    (record,) = caplog.records
    assert "models:/liver/1 has no seal in the registry" in record.getMessage()
    assert not fetch("models:/liver/1", store).sealed
