"""The same work on many cases, in processes that say what went wrong."""

import os
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from segpipe.dataset.casework import mapping
from segpipe.dataset.casework.mapping import chunks, map_cases
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


class Heavy:
    """What all cases share; counts in a file how often it is pickled."""

    def __init__(self, file: str) -> None:
        self.file = file

    def __reduce__(self) -> tuple[type, tuple[str]]:
        with open(self.file, "ab") as file:
            file.write(b".")
        return Heavy, (self.file,)


def work_with(shared: Heavy, number: int) -> int:
    assert shared.file
    return -number


@pytest.mark.parametrize("cases", [40, 80])
def test_what_cases_share_is_pickled_once_a_worker(cases: int, tmp_path: Path) -> None:
    """It was pickled with each case: verify of 8,000 cases took 176 s."""
    file = tmp_path / "pickled"
    results = map_cases(
        partial(work_with, Heavy(str(file))),
        range(cases),
        workers=2,
        name=str,
        describe="share",
    )

    assert results == [-number for number in range(cases)]
    assert file.stat().st_size <= 2


@pytest.mark.parametrize(("cases", "tasks"), [(3, 3), (64, 64), (640, 64), (9000, 563)])
def test_many_cases_are_sent_in_tasks_of_several(cases: int, tasks: int) -> None:
    parts = list(chunks(list(range(cases)), 2))

    assert [number for part in parts for number in part] == list(range(cases))
    assert len(parts) == tasks


def test_known_cases_start_no_worker_and_keep_their_places() -> None:
    results = map_cases(
        process_of,
        range(6),
        workers=2,
        name=str,
        describe="know",
        known=lambda number: None if number == 2 else -number,
    )

    assert results == [0, -1, os.getpid(), -3, -4, -5]


def process_of(number: int) -> int:
    return os.getpid()


def processes(
    cases: int, seconds: float, *, size: Callable[[int], int] = abs
) -> list[int]:
    """Which process did each of some cases that take some seconds."""
    return map_cases(
        partial(wait_in_a_process, seconds),
        range(cases),
        workers=2,
        name=str,
        describe="wait",
        size=size,
    )


def wait_in_a_process(seconds: float, number: int) -> int:
    time.sleep(seconds)
    return os.getpid()


def test_small_cases_that_are_soon_done_start_no_worker() -> None:
    assert set(processes(50, 0.001)) == {os.getpid()}


def test_workers_start_in_the_middle_as_soon_as_they_pay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The 24th of 60 cases of 10 ms: 0.04 s / 24 * 36 are 0.06 s, which pay."""
    monkeypatch.setattr(mapping, "WARM_S", 0.2)
    monkeypatch.setattr(mapping, "PAYS_S", 0.05)
    found = processes(60, 0.01)

    here = [place for place, process in enumerate(found) if process == os.getpid()]
    assert here == list(range(len(here)))  # the first ones, then none
    assert 0 < len(here) <= 24  # fewer on a machine that is late


def test_cases_of_which_one_is_large_are_left_to_workers() -> None:
    """Memory may be too small for it, and the command has to say so."""
    found = processes(3, 0.0, size=lambda case: case * mapping.LARGE_BYTES)

    assert os.getpid() not in found


def test_a_small_case_that_fails_is_named() -> None:
    with pytest.raises(DataError, match=r"case no-3: scan\.nii: expected a volume"):
        map_cases(
            refuse_three,
            range(5),
            workers=2,
            name=lambda number: f"no-{number}",
            describe="try",
            size=abs,
        )
