"""The same work on many cases: in this process, in several, or over a cluster."""

import logging
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import Any, TypeVar

from segpipe.dataset.casework.cluster import ADDRESS, map_over_cluster
from segpipe.project.errors import DataError
from segpipe.project.progress import Work, work

log = logging.getLogger(__name__)
T = TypeVar("T")
R = TypeVar("R")
FEWEST = 8  # workers that a cluster has at least, for the size of tasks
TURNS = 32  # tasks of a worker at least, if there are so many cases
LARGEST = 16  # cases of a task
LARGE_BYTES = 1 << 24  # from which a case is worked on by workers alone
WARM_S = 1.0  # of the work in this process that tells no pace: packages are imported
PAYS_S = 8.0  # of work that are left, from which workers save more than they cost


def map_cases(
    function: Callable[[T], R],
    items: Sequence[T],
    *,
    workers: int,
    name: Callable[[T], str],
    describe: str,
    known: Callable[[T], R | None] | None = None,
    size: Callable[[T], int] | None = None,
) -> list[R]:
    """Call a function on each item, in this process or in several.

    A worker takes two seconds of a processor to start, as long as hundreds of small
    cases. So if all items are small, this process begins with them, and workers start
    as soon as they pay: when PAYS_S seconds of work are left at the pace so far. If one
    is large, workers do all: a case that memory is too small for ends a worker, which
    has an error that names the case, and never this process.

    If the environment variable SEGPIPE_DASK names a Dask cluster, its workers do it.

    A worker receives the function once, with all that ``partial`` binds to it, and then
    items only. So what all cases share belongs into the function, and an item holds
    nothing that grows with the number of cases.

    Args:
        function: A function of a module, or functools.partial of one: picklable.
        items: One item for each case.
        workers: Number of processes; 0 and 1 work in this process. A cluster has its
            own number.
        name: Returns the name of an item for errors.
        describe: Name of the work for the progress bar and the log.
        known: Returns the result of an item that was finished before, or None. It is
            called in this process, before any worker is started.
        size: Returns about how many bytes an item is, of which more than LARGE_BYTES
            are large. Without it, workers do all.

    Returns:
        The results, in the order of the items.

    Raises:
        DataError: If the function raises one: its message after the name of the case.
            If a worker is killed: the cases that were being worked on.
    """
    found: dict[int, R] = {}
    with work(describe, total=len(items), unit="case") as progress:
        for place, item in enumerate(items if known else ()):
            assert known is not None
            result = call_named(known, item, name(item))
            if result is not None:
                found[place] = result
                progress.advance()
        left = [place for place in range(len(items)) if place not in found]
        todo = [(items[place], name(items[place])) for place in left]
        address = os.environ.get(ADDRESS)
        if address and todo:
            parts = list(chunks(todo, FEWEST))
            work_on = partial(_call_part, function)
            module = _module_of(function)
            made = map_over_cluster(address, work_on, parts, progress, module=module)
        elif workers <= 1 or len(todo) <= 1:
            made = _in_this_process(function, todo, progress)
        else:
            small = size is not None and all(
                size(items[place]) <= LARGE_BYTES for place in left
            )
            made = _while_it_pays(function, todo, progress) if small else []
            rest = todo[len(made) :]
            if rest:
                made += _in_processes(function, rest, workers, progress)
        found.update(zip(left, made, strict=True))
    log.info("%s: %d cases%s", describe, len(items), _known_words(items, left))
    return [found[place] for place in range(len(items))]


def _known_words(items: Sequence[Any], left: list[int]) -> str:
    many = len(items) - len(left)
    return f", {many} of them known" if many else ""


def call_named(function: Callable[[T], R], item: T, name: str) -> R:
    """Call a function on an item; a DataError begins with the name of the case."""
    try:
        return function(item)
    except DataError as error:
        raise DataError(f"case {name}: {error}") from error


def _in_this_process(
    function: Callable[[T], R], todo: list[tuple[T, str]], progress: Work
) -> list[R]:
    made = []
    for item, name in todo:
        made.append(call_named(function, item, name))
        progress.advance()
    return made


def _while_it_pays(
    function: Callable[[T], R],
    todo: list[tuple[T, str]],
    progress: Work,
) -> list[R]:
    """Work in this process until workers would save time; the first results."""
    made: list[R] = []
    began = time.monotonic()
    for done, (item, name) in enumerate(todo):
        taken_s = time.monotonic() - began - WARM_S
        if done and taken_s / done * (len(todo) - done) > PAYS_S:
            break
        made.append(call_named(function, item, name))
        progress.advance()
    return made


def _in_processes(
    function: Callable[[T], R],
    todo: list[tuple[T, str]],
    workers: int,
    progress: Work,
) -> list[R]:
    context = multiprocessing.get_context("spawn")
    workers = min(workers, len(todo))
    pool = ProcessPoolExecutor(workers, context, _start, (function,))
    futures: dict[Future[list[R]], list[tuple[T, str]]] = {}
    try:
        for part in chunks(todo, workers):
            futures[pool.submit(_work, part)] = part
        for future in as_completed(futures):
            future.result()
            progress.advance(len(futures[future]))
    except BrokenProcessPool as error:
        lost = [part for future, part in futures.items() if _was_lost(future)]
        names = [name for part in lost for _, name in part]
        raise DataError(
            f"a worker was killed while it worked on one of {', '.join(names[:8])}; "
            "most likely memory ran out: set fewer workers"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)
    return [result for future in futures for result in future.result()]


def chunks(todo: list[T], workers: int) -> Iterator[list[T]]:
    """Cut a list into tasks: single cases, or several where cases are many."""
    size = max(1, min(LARGEST, len(todo) // (workers * TURNS)))
    for first in range(0, len(todo), size):
        yield todo[first : first + size]


def _was_lost(future: "Future[R]") -> bool:
    return not future.done() or isinstance(future.exception(), BrokenProcessPool)


class _Given:
    """What the workers of this process's parent do; set once, as they start."""

    function: Callable[[Any], Any]


def _start(function: Callable[[T], R]) -> None:
    """Take the function, and compute on one core: the workers share them."""
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[variable] = "1"
    _Given.function = function


def _work(part: list[tuple[T, str]]) -> list[Any]:
    """Call the function that the worker was given on some items."""
    return _call_part(_Given.function, part)


def _call_part(function: Callable[[T], R], part: list[tuple[T, str]]) -> list[R]:
    return [call_named(function, item, name) for item, name in part]


def _module_of(function: Any) -> str:
    """The module of segpipe whose code makes the results."""
    while isinstance(function, partial):
        function = function.func
    module = str(function.__module__)
    return module if module.startswith("segpipe.") else __name__
