"""inbox: which studies of a folder are to be segmented, and why the others are not."""

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from segpipe.tools.segmenting.case import is_finished, record_inputs
from segpipe.tools.segmenting.inbox.order import Order
from segpipe.tools.segmenting.manifest import Failure, InputRecord, read_failure
from segpipe.tools.segmenting.studies import Study, find_studies, is_text


@dataclass(frozen=True)
class WaitingStudy:
    """A study to segment.

    Attributes:
        study: The study.
        inputs: Digests of its files when they were read; none if they could not be.
    """

    study: Study
    inputs: tuple[InputRecord, ...]


@dataclass(frozen=True)
class Inbox:
    """The studies of an inbox.

    Attributes:
        todo: Studies to segment.
        finished: Cases that were segmented before and have not changed.
        known: Failures of cases that have not changed.
        growing: Cases whose files are still being written.
    """

    todo: tuple[WaitingStudy, ...]
    finished: tuple[str, ...]
    known: tuple[Failure, ...]
    growing: tuple[str, ...]

    def __str__(self) -> str:
        """Counts, in one sentence."""
        return (
            f"{len(self.todo)} studies to segment, {len(self.finished)} finished "
            f"before, {len(self.known)} known failures, {len(self.growing)} still "
            "being written"
        )


def sort_inbox(
    inputs: Sequence[Path],
    order: Order,
    *,
    now: float,
    settle_s: float,
    limit_s: float,
    retry_failed: bool,
    workers: int,
) -> Inbox:
    """Sort all studies among files and folders.

    Args:
        inputs: Files and folders.
        order: Segmenter, settings and output.
        now: Current time, in seconds since the epoch.
        settle_s: Smallest age of the newest file of a study.
        limit_s: Time limit of a case.
        retry_failed: Whether known failures are tried again.
        workers: Threads that read files for their digests.

    Raises:
        DataError: If an input does not exist, or two studies would have the same
            outputs.
    """
    output = Path(order.output)
    studies = find_studies(
        [path.absolute() for path in inputs],
        channels=order.channels,
        output=output,
        at_least=0,
        may_lack=order.may_lack,
    )
    studies = [study if _has_text(study) else _nameless(study) for study in studies]
    growing = [study for study in studies if _age_s(study, now) < settle_s]
    settled = [study for study in studies if study not in growing]
    look = partial(_look, order=order, limit_s=limit_s, retry_failed=retry_failed)
    with ThreadPoolExecutor(workers) as pool:
        looks = list(pool.map(look, settled))
    todo, finished, known = [], [], []
    for study, found in zip(settled, looks, strict=True):
        if found is None:
            finished.append(study.name)
        elif isinstance(found, Failure):
            known.append(found)
        else:
            todo.append(found)
    names = tuple(study.name for study in growing)
    return Inbox(tuple(todo), tuple(finished), tuple(known), names)


def _look(
    study: Study, *, order: Order, limit_s: float, retry_failed: bool
) -> WaitingStudy | Failure | None:
    """None if it is finished, its failure if it would fail again, else the study."""
    output = Path(order.output)
    try:
        inputs = record_inputs(study)
        key = order.key(inputs)
        if is_finished(study, key, output):
            return None
    except OSError:  # the attempt at this case will report it
        return WaitingStudy(study, ())
    failure = read_failure(output, study.name)
    if failure and failure.holds(key, limit_s=limit_s) and not retry_failed:
        return failure
    return WaitingStudy(study, inputs)


def _has_text(study: Study) -> bool:
    return all(is_text(str(file)) for file in study.files)


def _nameless(study: Study) -> Study:
    """The study without its files, whose names no document can hold."""
    why = "expected files with names in UTF-8, found others; rename them"
    return Study(study.name, (), fault=f"{study.name}: {why}")


def _age_s(study: Study, now: float) -> float:
    """Age of the newest file; 0 if a file is gone, because it is being moved.

    A study with a fault does not wait: its attempt says what is wrong.
    """
    if study.fault is not None and not all(file.exists() for file in study.files):
        return math.inf
    try:
        return now - max((f.stat().st_mtime for f in study.all_files), default=0)
    except FileNotFoundError:
        return 0.0
    except OSError:
        return math.inf
