"""Done ahead, given in order."""

import threading
import time

import pytest

from segpipe.training.patches.ahead import ahead


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_results_come_in_order_whoever_is_faster(workers: int) -> None:
    def work(number: int) -> int:
        time.sleep(0.02 if number % 2 else 0)
        return number * number

    assert list(ahead(work, range(9), workers=workers)) == [n * n for n in range(9)]


@pytest.mark.parametrize(("workers", "begun"), [(0, 1), (1, 2), (3, 4)])
def test_no_more_is_begun_than_one_a_worker_ahead(workers: int, begun: int) -> None:
    seen = []
    results = ahead(lambda n: seen.append(n) or n, range(100), workers=workers)

    assert next(results) == 0
    time.sleep(0.1)
    assert len(seen) == begun
    results.close()  # type: ignore[attr-defined]
    assert len(seen) == begun


def test_work_goes_on_while_nobody_waits() -> None:
    done = threading.Event()
    results = ahead(lambda n: done.set() if n else None, range(2), workers=1)
    next(results)

    assert done.wait(5)


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_is_raised_where_its_result_was_due(workers: int) -> None:
    def work(number: int) -> float:
        return 1 / (number - 2)

    results = ahead(work, range(5), workers=workers)

    assert [next(results), next(results)] == [-0.5, -1]
    with pytest.raises(ZeroDivisionError):
        next(results)
