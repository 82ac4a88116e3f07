"""Versions and aliases, and the files behind a name."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.registry.promotion import promote, rollback
from segpipe.registry.runs import connect
from segpipe.registry.versions import (
    complete,
    fetch,
    find_alias,
    list_versions,
    load_segmenter,
)
from segpipe.segmenter.segmenter import segmenter_digest
from tests.support.segmenters import make_plan, save_segmenter
from tests.support.servers import free_port, mlflow_server
from tests.support.stores import add_two, add_version, aliases, write_store


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new store: to make its tables takes seconds."""
    paths = Paths(tmp_path_factory.mktemp("store"))
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        connect(paths)
    return paths.root / "mlflow.db"


@pytest.fixture
def paths(tmp_path: Path, empty: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    write_store(Paths(tmp_path), empty)
    return Paths(tmp_path)


@pytest.fixture
def three(paths: Paths) -> Paths:
    """Version 2 is the champion, 1 the previous one, 3 the candidate."""
    add_two(paths)
    return paths


@pytest.mark.parametrize("uri", ["models:/liver@champion", "models:/liver/1"])
def test_a_registered_segmenter_is_fetched_whole(paths: Paths, uri: str) -> None:
    found = fetch(uri, paths)
    again = fetch(uri, paths)

    assert (found.name, found.version) == ("liver", "1")
    assert found == again
    segmenter, record = load_segmenter(uri, paths)
    digests = [segmenter_digest(paths.root / "m" / str(fold)) for fold in (0, 1)]
    assert record.folds == tuple(digests)
    assert (record.name, record.version, record.run) == ("liver", "1", found.run)
    assert len(segmenter.networks) == 2


@pytest.mark.parametrize("uri", ["models:/liver@nobody", "models:/kidney/1"])
def test_what_is_not_registered_is_said(paths: Paths, uri: str) -> None:
    with pytest.raises(DataError, match="expected a registered segmenter"):
        fetch(uri, paths)


def test_version_1_of_another_store_is_not_taken_for_this_one(
    paths: Paths, empty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = fetch("models:/liver/1", paths)
    shutil.copyfile(empty, paths.root / "other.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{paths.root}/other.db")
    add_version(paths)

    assert fetch("models:/liver/1", paths).folder != first.folder


def test_files_that_are_not_those_of_the_digest_are_refused(paths: Paths) -> None:
    client, _ = connect(paths)
    client.set_model_version_tag("liver", "1", "segpipe.segmenter", "0" * 64)

    with pytest.raises(DataError, match="expected the segmenter 000000000000 that was"):
        load_segmenter("models:/liver/1", paths)


def test_versions_come_newest_first_with_what_is_known_of_them(three: Paths) -> None:
    versions = list_versions("liver", three)

    assert [one.version for one in versions] == ["3", "2", "1"]
    assert versions == list_versions(None, three)
    assert list_versions("kidney", three) == []
    assert versions[0].aliases == ("candidate",)
    assert versions[0].created >= versions[2].created
    assert find_alias("liver", "champion", three) == versions[1]
    assert find_alias("liver", "nobody", three) is None


def test_there_may_be_more_versions_than_a_page_holds(paths: Paths) -> None:
    client, _ = connect(paths)
    for _ in range(120):
        client.create_model_version("liver", str(paths.root), None)

    assert len(list_versions("liver", paths)) == 121


def test_of_two_that_register_the_same_at_once_the_first_version_stays(
    three: Paths,
) -> None:
    """Both found none before: the second is registered as if it knew of no other."""
    assert add_version(three, "two") == "2"

    assert [one.version for one in list_versions("liver", three)] == ["3", "2", "1"]
    assert aliases(three) == {"champion": "2", "previous": "1", "candidate": "3"}


def test_a_registration_that_was_killed_is_completed_unless_it_is_old_news(
    three: Paths,
) -> None:
    client, _ = connect(three)
    client.delete_registered_model_alias("liver", "candidate")
    newest, _, oldest = list_versions("liver", three)

    assert complete(newest, three).aliases == ("candidate",)
    client.delete_registered_model_alias("liver", "previous")
    assert complete(list_versions("liver", three)[2], three).aliases == ()
    assert oldest.aliases == ("previous",)


def test_a_server_that_is_away_is_said_within_seconds(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    began = time.monotonic()

    for act in (
        lambda: fetch("models:/liver@champion", paths),
        lambda: list_versions(None, paths),
        lambda: promote("liver", "1", "why", paths),
    ):
        with pytest.raises(DataError, match=r"127\.0\.0\.1.*MLFLOW_TRACKING_URI"):
            act()
    assert time.monotonic() - began < 60


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with mlflow_server(tmp_path / "server") as url:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
        yield url


def test_a_server_serves_versions_aliases_and_files(
    served: str, tmp_path: Path
) -> None:
    paths = Paths(tmp_path / "here")
    for fold in (0, 1):
        save_segmenter(paths.root / "m" / str(fold), make_plan(), seed=fold)
    add_version(paths, "another")
    add_version(paths)
    promote("liver", "1", "the first", paths)
    promote("liver", "2", "the second", paths)

    elsewhere = Paths(tmp_path / "there")
    _, record = load_segmenter("models:/liver@champion", elsewhere)

    assert aliases(elsewhere) == {"champion": "2", "previous": "1"}
    digests = [segmenter_digest(paths.root / "m" / str(fold)) for fold in (0, 1)]
    assert record.folds == tuple(digests)
    assert rollback("liver", "worse", elsewhere).version == "1"
    assert served.startswith("http://127.0.0.1")
