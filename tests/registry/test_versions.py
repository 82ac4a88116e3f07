"""Registered versions and their aliases, in a database and on a server."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.registry.mlflow_model.fetch import fetch
from segpipe.registry.mlflow_model.locate import load_segmenter
from segpipe.registry.promotion import promote, rollback
from segpipe.registry.store import connect
from segpipe.registry.versions import complete, find_alias, list_versions
from segpipe.segmenter.spec import segmenter_digest
from tests.support.segmenters import make_plan, save_segmenter
from tests.support.servers import free_port, mlflow_server
from tests.support.stores import add_version, aliases


def test_versions_come_newest_first_with_what_is_known_of_them(three: Paths) -> None:
    versions = list_versions("liver", three)

    assert [one.version for one in versions] == ["3", "2", "1"]
    assert versions == list_versions(None, three)
    assert list_versions("kidney", three) == []
    assert versions[0].aliases == ("candidate",)
    assert versions[0].created >= versions[2].created
    assert find_alias("liver", "champion", three) == versions[1]
    assert find_alias("liver", "nobody", three) is None


def test_there_may_be_more_versions_than_a_page_holds(store: Paths) -> None:
    client, _ = connect(store)
    for _ in range(120):
        client.create_model_version("liver", str(store.root), None)

    assert len(list_versions("liver", store)) == 121


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
    store: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    began = time.monotonic()

    for act in (
        lambda: fetch("models:/liver@champion", store),
        lambda: list_versions(None, store),
        lambda: promote("liver", "1", "why", store),
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
