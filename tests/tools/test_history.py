"""Who was champion when: by signed records where there are some, else by tags."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from segpipe.approval.chain.folder import record_path
from segpipe.approval.records import Promotion
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.registry.promotion import promote
from segpipe.registry.store import connect
from segpipe.tools.history import history
from tests.support.reviews import (
    OTHER,
    emergency,
    signed,
    subject,
    write_people,
    write_policy,
)
from tests.support.stores import add_two, write_store


@pytest.fixture(scope="module")
def made(tables: Path, tmp_path_factory: pytest.TempPathFactory) -> Paths:
    """Version 1 was promoted by hand, 2 by the command, 3 waits; never change it."""
    paths = Paths(tmp_path_factory.mktemp("history"))
    shutil.copyfile(tables, paths.root / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        write_promoted(paths)
    return paths


@pytest.fixture
def two(made: Paths, paths: Paths) -> Paths:
    """The same, to be changed."""
    shutil.copytree(made.root, paths.root, dirs_exist_ok=True)
    return paths


def write_promoted(paths: Paths) -> None:
    write_store(paths)
    add_two(paths)
    client, _ = connect(paths)
    client.set_model_version_tag("liver", "1", "promoted.at", "2026-01-02T10:00:00Z")
    client.set_model_version_tag("liver", "1", "promoted.why", "the first")
    client.set_model_version_tag("liver", "2", "promoted.at", "2026-03-01T08:00:00Z")


def sign(paths: Paths) -> None:
    """Records 6 and 7 make version 3 and then 1 the champion."""
    write_people(paths.root)
    write_policy(paths.root)
    about = subject(OTHER, "3")
    signed(
        Promotion(subject=about, act="promote", before="2", reason="finer"),
        "lea",
        paths.root,
    )
    signed(emergency(subject(version="1")), "ann", paths.root)


def test_without_records_the_tags_tell_and_say_so(two: Paths) -> None:
    header, *rows = history("liver", two)

    assert header.split("  ")[0] == "since (UTC)"
    assert [row.split("  ")[:2] for row in rows] == [
        ["2026-01-02 10:00", "2026-03-01 08:00"],
        ["2026-03-01 08:00", "now"],
    ]
    assert all(row.endswith("MLflow's tags") for row in rows)


@pytest.mark.parametrize(
    ("at", "words"),
    [
        ("2026-01-01", "no champion is known; the first one began 2026-01-02 10:00:00"),
        ("2026-01-02T09:59:59", "no champion is known"),
        ("2026-01-02T10:00:00", "version 1, the segmenter"),
        ("2026-01-02T11:30:00+02:00", "no champion is known"),
        ("2026-02-28", "version 1, the segmenter"),
        ("2026-03-01T08:00", "version 2, the segmenter two"),
        ("2030-01-01", "version 2, the segmenter two"),
    ],
)
def test_the_champion_at_any_time(two: Paths, at: str, words: str) -> None:
    assert words in history("liver", two, at=at)[0]


def test_records_tell_from_their_first_on(two: Paths) -> None:
    """MLflow's later tags are no evidence against them."""
    sign(two)
    client, _ = connect(two)
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    client.set_model_version_tag("liver", "2", "promoted.at", later)
    client.set_registered_model_alias("liver", "champion", "3")

    _, first, second, third, note = history("liver", two)

    assert first.endswith("MLflow's tags")
    assert "Dr Lea as lead" in second
    assert "finer" in second
    assert second.endswith("record 6, signed")
    assert "emergency: the champion fails on the new scanner" in third
    assert third.endswith("record 7, signed")
    assert note.startswith("MLflow's alias champion is on version 3, against record 7")
    assert "from record 7, signed" in history("liver", two, at="2030-01-01")


def test_records_that_are_not_believed_are_not_told(two: Paths) -> None:
    sign(two)
    record_path(two.root, 2).unlink()

    *_, note = history("liver", two)

    assert "the signed records are not believed: " in note
    assert "record 2 is missing" in note


def test_what_is_not_known_is_said(two: Paths) -> None:
    promote("liver", "3", "why", two)
    with pytest.raises(DataError, match="kidney: expected a version that was promoted"):
        history("kidney", two)
    with pytest.raises(DataError, match="--at yesterday: expected a day or time such"):
        history("liver", two, at="yesterday")
