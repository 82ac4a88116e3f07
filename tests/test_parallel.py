"""The same work on many cases, in processes that say what went wrong."""

import os
import signal
import time

import pytest

from segpipe.errors import DataError
from segpipe.parallel import map_cases


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
    with pytest.raises(DataError, match="most likely memory ran out: set workers"):
        map_cases(die, range(4), workers=2, name=str, describe="die")


def test_workers_compute_on_one_thread_each() -> None:
    results = map_cases(threads, range(2), workers=2, name=str, describe="threads")

    assert results == ["1", "1"]


def test_no_case_is_no_error() -> None:
    assert map_cases(square, [], workers=2, name=str, describe="none") == []
