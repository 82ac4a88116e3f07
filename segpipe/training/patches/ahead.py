"""Ahead: compute results in threads before they are needed, in the same order."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")


def ahead(
    work: Callable[[int], Result], numbers: Iterable[int], *, workers: int
) -> Iterator[Result]:
    """Yield the result of each number, in order.

    Args:
        work: Function of a number alone, so that the workers change no result.
        numbers: Numbers to call it with.
        workers: Number of threads, each one result ahead; 0 computes nothing ahead.
    """
    if workers == 0:
        yield from map(work, numbers)
        return
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="ahead") as pool:
        try:
            for number in numbers:
                waiting.append(pool.submit(work, number))
                if len(waiting) > workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
