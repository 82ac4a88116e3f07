"""The same work on many cases, in processes that say what went wrong."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from segpipe.dataset.casework import CaseCache, map_cases
from segpipe.project.errors import DataError


def square(number: int) -> int:
    time.sleep(0.02 * (5 - number))  # the first ends last
    return number**2


def refuse_three(number: int) -> int:
    if number == 3:
        raise DataError("scan.nii: expected a volume, found none")
    return number


def die(number: int) -> int:
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def threads(number: int) -> str:
    return os.environ["OMP_NUM_THREADS"]


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_results_come_in_the_order_of_the_cases(workers: int) -> None:
    results = map_cases(square, range(5), workers=workers, name=str, describe="square")

    assert results == [0, 1, 4, 9, 16]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_failing_worker_names_the_case_and_the_cause(workers: int) -> None:
    with pytest.raises(DataError, match=r"case no-3: scan\.nii: expected a volume"):
        map_cases(
            refuse_three,
            range(5),
            workers=workers,
            name=lambda number: f"no-{number}",
            describe="try",
        )


def test_a_killed_worker_ends_in_a_sentence_not_in_a_hang() -> None:
    with pytest.raises(
        DataError, match="most likely memory ran out: set fewer workers"
    ):
        map_cases(die, range(4), workers=2, name=str, describe="die")


def test_workers_compute_on_one_thread_each() -> None:
    results = map_cases(threads, range(2), workers=2, name=str, describe="threads")

    assert results == ["1", "1"]


def test_no_case_is_no_error() -> None:
    assert map_cases(square, [], workers=2, name=str, describe="none") == []


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
