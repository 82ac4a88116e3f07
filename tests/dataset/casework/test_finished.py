"""Finished cases are found again whole, or not at all."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from segpipe.dataset.casework.finished import CaseCache


def write(folder: Path, text: str) -> Path:
    folder.mkdir()
    (folder / "a.txt").write_text(text)
    return folder


def test_what_was_stored_is_fetched(tmp_path: Path) -> None:
    cache = CaseCache(tmp_path / "cache")
    cache.store("key", write(tmp_path / "case", "finished"))

    assert cache.fetch("key", tmp_path / "again")
    assert (tmp_path / "again" / "a.txt").read_text() == "finished"


def test_an_unknown_key_leaves_nothing_behind(tmp_path: Path) -> None:
    assert not CaseCache(tmp_path / "cache").fetch("key", tmp_path / "goal")
    assert not (tmp_path / "goal").exists()


def test_changing_what_was_fetched_changes_no_copy(tmp_path: Path) -> None:
    cache = CaseCache(tmp_path / "cache")
    cache.store("key", write(tmp_path / "case", "finished"))
    cache.fetch("key", tmp_path / "one")
    (tmp_path / "one" / "a.txt").write_text("spoilt")
    (tmp_path / "case" / "a.txt").write_text("spoilt")
    cache.fetch("key", tmp_path / "two")

    assert (tmp_path / "two" / "a.txt").read_text() == "finished"


def test_storing_twice_keeps_one_and_no_remains(tmp_path: Path) -> None:
    cache = CaseCache(tmp_path / "cache")
    case = write(tmp_path / "case", "finished")
    cache.store("key", case)
    cache.store("key", case)

    assert [path.name for path in cache.folder.iterdir()] == ["key"]


def test_fetching_says_that_an_entry_is_wanted(tmp_path: Path) -> None:
    cache = CaseCache(tmp_path / "cache")
    cache.store("key", write(tmp_path / "case", "finished"))
    os.utime(cache.folder / "key", (1e9, 1e9))
    cache.fetch("key", tmp_path / "goal")

    assert (cache.folder / "key").stat().st_mtime > 1.5e9


def change(file: Path) -> None:
    file.write_text("Finished")


def truncate(file: Path) -> None:
    os.truncate(file, 3)


def add(file: Path) -> None:
    file.with_name("b.txt").write_text("more")


def remove(file: Path) -> None:
    file.unlink()


def forget(file: Path) -> None:
    file.with_name(".digests.json").unlink()


def break_digests(file: Path) -> None:
    file.with_name(".digests.json").write_text("{")


@pytest.mark.parametrize(
    "damage", [change, truncate, add, remove, forget, break_digests]
)
def test_a_damaged_entry_is_a_miss_with_a_warning_and_is_stored_anew(
    damage: Callable[[Path], None], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A changed .cache/preprocess/KEY/image.npy became a training image."""
    cache = CaseCache(tmp_path / "cache")
    case = write(tmp_path / "case", "finished")
    cache.store("key", case)
    damage(cache.folder / "key" / "a.txt")

    assert not cache.fetch("key", tmp_path / "goal")
    assert not (tmp_path / "goal").exists()
    assert "was changed after it was stored" in caplog.text

    cache.store("key", case)
    assert cache.fetch("key", tmp_path / "goal")
    assert [file.name for file in (tmp_path / "goal").iterdir()] == ["a.txt"]


@pytest.mark.parametrize(
    "damage", [change, truncate, add, remove, forget, break_digests]
)
def test_a_damaged_entry_is_not_read(
    damage: Callable[[Path], None], tmp_path: Path
) -> None:
    cache = CaseCache(tmp_path / "cache")
    cache.store("key", write(tmp_path / "case", "finished"))
    assert cache.read("key") == {"a.txt": b"finished"}
    damage(cache.folder / "key" / "a.txt")

    assert cache.read("key") is None
    assert not (cache.folder / "key").exists()


def test_a_damaged_entry_leaves_nothing_in_a_folder_with_other_files(
    tmp_path: Path,
) -> None:
    cache = CaseCache(tmp_path / "cache")
    case = write(tmp_path / "case", "finished")
    (case / "inner").mkdir()
    (case / "inner" / "b.txt").write_text("more")
    cache.store("key", case)
    change(cache.folder / "key" / "inner" / "b.txt")
    goal = write(tmp_path / "goal", "old")
    (goal / "a.txt").rename(goal / "other.txt")

    assert not cache.fetch("key", goal)
    assert [file.name for file in goal.rglob("*.txt")] == ["other.txt"]
