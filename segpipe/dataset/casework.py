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
from typing import TypeVar

from segpipe.project.documents import parse_json, write_json
from segpipe.project.errors import DataError
from segpipe.project.fingerprint import digest_file
from segpipe.project.progress import Work, work

log = logging.getLogger(__name__)
T = TypeVar("T")
R = TypeVar("R")
DIGESTS = ".digests.json"  # in an entry of the cache; digest of each of its files


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
    with work(describe, total=len(items), unit="case") as progress:
        if workers <= 1 or len(items) <= 1:
            results = []
            for item in items:
                results.append(_named(function, item, name(item)))
                progress.advance()
        else:
            results = _in_processes(function, items, workers, name, progress)
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
    progress: Work,
) -> list[R]:
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(workers, len(items)), context, _single_thread)
    futures: dict[Future[R], str] = {}
    try:
        for item in items:
            futures[pool.submit(_named, function, item, name(item))] = name(item)
        for future in as_completed(futures):
            future.result()
            progress.advance()
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

    The digests of an entry's files are kept beside them, so that a changed or truncated
    file is computed again and never used.

    Attributes:
        folder: ``.cache/STAGE``.
    """

    folder: Path

    def fetch(self, key: str, goal: Path) -> bool:
        """Copy a finished case to the folder goal; return whether the key is known.

        The files are copied, not linked: as root, a write through a link would change
        the cache, too. An entry whose files are not those that were stored is deleted
        with a warning, and its key is not known.
        """
        entry = self.folder / key
        if not entry.is_dir():
            return False
        os.utime(entry)  # first: prune looks at when an entry was last used
        if not _is_whole(entry):
            log.warning("%s was changed after it was stored; it is not used", entry)
            shutil.rmtree(entry, ignore_errors=True)
            return False
        ignore = shutil.ignore_patterns(DIGESTS)
        shutil.copytree(entry, goal, dirs_exist_ok=True, ignore=ignore)
        return True

    def store(self, key: str, source: Path) -> None:
        """Keep a copy of a finished case: all of its files or none.

        The files are on the disk before the entry has its name: a power cut leaves a
        whole entry or none.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=".part-", dir=self.folder))
        try:
            shutil.copytree(source, part, dirs_exist_ok=True)
            write_json(part / DIGESTS, _digests(source))
            for path in (*part.rglob("*"), part):
                _synchronize(path)
        except BaseException:  # on a full disk, half an entry would keep it full
            shutil.rmtree(part, ignore_errors=True)
            raise
        try:
            part.rename(self.folder / key)
        except OSError:  # another process was faster: its copy is the same
            shutil.rmtree(part)
        _synchronize(self.folder)


def _digests(folder: Path) -> dict[str, str]:
    """Digest of each file below a folder, by its path."""
    return {
        file.relative_to(folder).as_posix(): digest_file(file)
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def _is_whole(entry: Path) -> bool:
    """Whether an entry has the files that were stored, and no others."""
    try:
        stored = parse_json(entry / DIGESTS, (entry / DIGESTS).read_bytes())
    except (OSError, ValueError):
        return False
    found = _digests(entry)
    found.pop(DIGESTS, None)
    return bool(found == stored)


def _synchronize(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
