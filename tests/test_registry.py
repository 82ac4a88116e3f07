"""Versions and aliases: a champion at every moment, and the files behind a name."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from segpipe.errors import DataError
from segpipe.paths import Paths
from segpipe.provenance import ensemble_digest
from segpipe.registry import (
    complete,
    create_version,
    fetch,
    find_alias,
    list_versions,
    promote,
    review,
    rollback,
)
from segpipe.segmenter import segmenter_digest
from segpipe.tools.segmenting import load_segmenter
from segpipe.tracking import connect
from tests.segmenters import make_plan, save_segmenter
from tests.servers import free_port, mlflow_server

ROOT = Path(__file__).parents[1]


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
    """A real store, where segpipe puts it, with a registered segmenter of two folds."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copyfile(empty, tmp_path / "mlflow.db")
    paths = Paths(tmp_path)
    for fold in (0, 1):
        folder = tmp_path / "m" / str(fold)
        save_segmenter(folder, make_plan(), seed=fold)
    add_version(paths)
    connect(paths)[0].set_registered_model_alias("liver", "champion", "1")
    return paths


def add_version(paths: Paths, digest: str | None = None) -> str:
    """Log the folder m and register it, perhaps as another segmenter; the number."""
    client, experiment = connect(paths)
    run = client.create_run(experiment).info.run_id
    model = client.create_logged_model(experiment, "segmenter", source_run_id=run)
    client.log_model_artifacts(model.model_id, str(paths.root / "m"))
    true = ensemble_digest([segmenter_digest(paths.root / "m" / n) for n in "01"])
    tags = {"review.status": "pending", "segpipe.segmenter": digest or true}
    return create_version("liver", model.model_id, run, tags, paths).version


@pytest.fixture
def three(paths: Paths) -> Paths:
    """Version 2 is the champion, 1 the previous one, 3 the candidate."""
    for digest in ("two", "three"):
        add_version(paths, digest)
    promote("liver", "2", "better", paths)
    return paths


def aliases(paths: Paths) -> dict[str, str]:
    versions = list_versions("liver", paths)
    return {alias: one.version for one in versions for alias in one.aliases}


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


def test_a_promoted_version_says_why_and_the_champion_becomes_the_previous(
    three: Paths,
) -> None:
    version = promote("liver", "3", "finer vessels", three)

    assert aliases(three) == {"champion": "3", "previous": "2"}
    assert version.tags["promoted.why"] == "finer vessels"
    assert version.tags["promoted.from"] == "2"
    assert version.tags["promoted.at"].endswith("+00:00")


def test_a_candidate_that_is_not_promoted_stays_one(three: Paths) -> None:
    promote("liver", "1", "sturdier", three)

    assert aliases(three) == {"champion": "1", "previous": "2", "candidate": "3"}


def test_the_first_champion_has_none_before_it(three: Paths) -> None:
    client, _ = connect(three)
    for alias in ("champion", "previous"):
        client.delete_registered_model_alias("liver", alias)

    version = promote("liver", "3", "the first", three)

    assert aliases(three) == {"champion": "3"}
    assert version.tags["promoted.from"] == ""
    with pytest.raises(
        DataError, match="a previous version to go back to, found 3 @ch"
    ):
        rollback("liver", "why", three)


def test_a_rollback_changes_champion_and_previous_and_can_be_rolled_back(
    three: Paths,
) -> None:
    version = rollback("liver", "misses the left kidney", three)

    assert aliases(three) == {"champion": "1", "previous": "2", "candidate": "3"}
    assert version.version == "1"
    assert version.tags["promoted.why"] == "misses the left kidney"
    left = find_alias("liver", "previous", three)
    assert left is not None
    assert left.tags["rolled_back.why"] == "misses the left kidney"
    assert left.tags["rolled_back.to"] == "1"
    assert rollback("liver", "it was the scanner", three).version == "2"


def test_promoting_the_champion_changes_nothing(three: Paths) -> None:
    before = find_alias("liver", "champion", three)

    assert promote("liver", "2", "again", three) == before


KILLED = """
import os, sys
from pathlib import Path
from mlflow import MlflowClient
from segpipe import registry
from segpipe.paths import Paths
from segpipe.provenance import ensemble_digest
left = int(sys.argv[3])
def counted(name):
    whole = getattr(MlflowClient, name)
    def act(self, *words):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), 9)
        return whole(self, *words)
    setattr(MlflowClient, name, act)
for name in ("set_model_version_tag", "set_registered_model_alias",
             "delete_registered_model_alias"):
    counted(name)
paths = Paths(Path(sys.argv[1]))
if sys.argv[2] == "promote":
    registry.promote("liver", "3", "why", paths)
else:
    registry.rollback("liver", "why", paths)
"""


@pytest.mark.parametrize(
    ("act", "step"), [("promote", n) for n in (3, 4, 5)] + [("rollback", 7)]
)
def test_a_kill_between_two_moves_leaves_a_champion_and_the_next_call_ends_it(
    three: Paths, act: str, step: int
) -> None:
    """Steps 0 to 2 of promote are tags, 0 to 5 of rollback."""
    words = [sys.executable, "-c", KILLED, str(three.root), act, str(step)]
    killed = subprocess.run(words, cwd=ROOT, env=os.environ, check=False)

    assert killed.returncode == -9
    champion = find_alias("liver", "champion", three)
    assert champion is not None
    assert champion.tags["promoted.why"]
    if act == "promote":
        promote("liver", "3", "why", three)
        assert aliases(three) == {"champion": "3", "previous": "2"}
    else:
        rollback("liver", "why", three)
        assert aliases(three) == {"champion": "1", "previous": "2", "candidate": "3"}


def test_a_rollback_after_a_killed_promotion_is_the_state_before_it(
    three: Paths,
) -> None:
    words = [sys.executable, "-c", KILLED, str(three.root), "promote", "4"]
    subprocess.run(words, cwd=ROOT, env=os.environ, check=False)
    assert aliases(three) == {"champion": "2", "previous": "2", "candidate": "3"}

    rollback("liver", "why", three)

    assert aliases(three) == {"champion": "2", "previous": "1", "candidate": "3"}


@pytest.mark.parametrize("why", ["", "  "])
def test_nothing_moves_without_a_reason(three: Paths, why: str) -> None:
    for act in (lambda: promote("liver", "3", why, three), lambda: _back(why, three)):
        with pytest.raises(DataError, match="--why: expected the reason"):
            act()

    assert aliases(three) == {"champion": "2", "previous": "1", "candidate": "3"}


def _back(why: str, paths: Paths) -> None:
    rollback("liver", why, paths)


def test_an_unknown_version_is_said_with_those_that_there_are(three: Paths) -> None:
    with pytest.raises(DataError, match="version 9, found 3 @candidate, 2 @champion"):
        promote("liver", "9", "why", three)
    with pytest.raises(DataError, match="found no version; `segpipe models` lists"):
        promote("kidney", "1", "why", three)


def test_a_review_is_a_tag_and_moves_no_alias(three: Paths) -> None:
    version = review("liver", "3", "rejected", "leaks into the stomach", three)

    assert version.tags["review.status"] == "rejected"
    assert version.tags["review.note"] == "leaks into the stomach"
    assert aliases(three) == {"champion": "2", "previous": "1", "candidate": "3"}


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
