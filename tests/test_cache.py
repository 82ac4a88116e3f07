"""Finished cases survive; a copy is complete or not there."""

import os
from pathlib import Path

from segpipe.cache import CaseCache


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
