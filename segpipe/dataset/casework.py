"""Work case by case: in several processes, and with a cache of finished cases."""

import logging
import multiprocessing
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Never, TypeVar

from tqdm import tqdm

from segpipe.project.errors import DataError

log = logging.getLogger(__name__)
T = TypeVar("T")
R = TypeVar("R")


def map_cases(
    function: Callable[[T], R],
    items: Sequence[T],
    *,
    workers: int,
    name: Callable[[T], str],
    describe: str,
) -> list[R]:
    """Call a function on each item, in this process or in several.

    Args:
        function: A function of a module, or functools.partial of one: picklable.
        items: One item for each case.
        workers: Number of processes; 0 and 1 work in this process.
        name: Returns the name of an item for errors.
        describe: Name of the work for the progress bar and the log.

    Returns:
        The results, in the order of the items.

    Raises:
        DataError: If the function raises one: its message after the name of the case.
            If a worker is killed: the cases that were being worked on.
    """
    bar = tqdm(total=len(items), desc=describe, unit="case", disable=None)
    with bar:
        if workers <= 1 or len(items) <= 1:
            results = []
            for item in items:
                results.append(_named(function, item, name(item)))
                bar.update()
        else:
            results = _in_processes(function, items, workers, name, bar)
    log.info("%s: %d cases", describe, len(items))
    return results


def _named(function: Callable[[T], R], item: T, name: str) -> R:
    try:
        return function(item)
    except DataError as error:
        raise DataError(f"case {name}: {error}") from error


def _in_processes(
    function: Callable[[T], R],
    items: Sequence[T],
    workers: int,
    name: Callable[[T], str],
    bar: "tqdm[Never]",
) -> list[R]:
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(workers, len(items)), context, _single_thread)
    futures: dict[Future[R], str] = {}
    try:
        for item in items:
            futures[pool.submit(_named, function, item, name(item))] = name(item)
        for future in as_completed(futures):
            future.result()
            bar.update()
    except BrokenProcessPool as error:
        running = [case for future, case in futures.items() if _was_lost(future)]
        raise DataError(
            f"a worker was killed while it worked on one of {', '.join(running[:8])}; "
            "most likely memory ran out: set fewer workers"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)
    return [future.result() for future in futures]


def _was_lost(future: "Future[R]") -> bool:
    return not future.done() or isinstance(future.exception(), BrokenProcessPool)


def _single_thread() -> None:
    """Let a worker compute on one core: the workers share them."""
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[variable] = "1"


@dataclass(frozen=True)
class CaseCache:
    """A cache of finished cases, each in a folder named by its key.

    Attributes:
        folder: ``.cache/STAGE``.
    """

    folder: Path

    def fetch(self, key: str, goal: Path) -> bool:
        """Copy a finished case to the folder goal; return whether the key is known.

        The files are copied, not linked: as root, a write through a link would change
        the cache, too.
        """
        entry = self.folder / key
        if not entry.is_dir():
            return False
        shutil.copytree(entry, goal, dirs_exist_ok=True)
        os.utime(entry)  # prune looks at when an entry was last used
        return True

    def store(self, key: str, source: Path) -> None:
        """Keep a copy of a finished case: all of its files or none."""
        self.folder.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=".part-", dir=self.folder))
        shutil.copytree(source, part, dirs_exist_ok=True)
        try:
            part.rename(self.folder / key)
        except OSError:  # another process was faster: its copy is the same
            shutil.rmtree(part)
