"""Attempt: one case, segmented under its lock; an error becomes an outcome."""

import fcntl
import logging
import os
import re
import shutil
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Literal, get_args

from segpipe.project.documents import Document
from segpipe.project.errors import DataError
from segpipe.tools.segmenting.case import is_finished, record_inputs, segment_study
from segpipe.tools.segmenting.manifest import Fault, parts_folder
from segpipe.tools.segmenting.studies import ENDINGS, Study
from segpipe.tools.segmenting.work import Work

Fine = Literal["done", "finished", "elsewhere"]

log = logging.getLogger(__name__)


class Outcome(Document):
    """Outcome of an attempt at a case.

    Attributes:
        case: Name of the case.
        kind: ``done`` now; ``finished`` before; ``elsewhere``: another run is at it; a
            Fault; or ``worker``: no process could be started.
        reason: Reason of a failure, on one line, without names of a patient.
        seconds: Duration of the attempt.
    """

    case: str
    kind: Fine | Fault | Literal["worker"]
    reason: str = ""
    seconds: float = 0.0

    @property
    def failed(self) -> bool:
        """Whether the case has no result."""
        return self.kind not in get_args(Fine)


def attempt_case(study: Study, work: Work, *, force: bool = False) -> Outcome:
    """Segment a case unless it is finished or another run is at it.

    Args:
        study: The case.
        work: What all cases share.
        force: Whether a finished case is segmented again.
    """
    start = perf_counter()
    kind: Fine | Fault
    reason = ""
    try:
        kind = _segment(study, work, force=force)
    # Whatever is wrong with one study, the others must still be segmented: this is
    # the one place that stops an error, and it logs the traceback.
    except Exception as error:
        kind, reason = _kind(error), describe_error(study, error)
        if kind == "error":
            # Its frames only: the message may quote the folders of DICOM files.
            frames = "".join(traceback.format_tb(error.__traceback__))
            log.error(
                "%s: an error of segpipe, not of the data:\n%s", study.name, frames
            )
    seconds = perf_counter() - start
    return Outcome(case=study.name, kind=kind, reason=reason, seconds=seconds)


def _segment(study: Study, work: Work, *, force: bool) -> Fine:
    with case_lock(work.output, study.name) as ours:
        if not ours:
            return "elsewhere"
        if study.fault is not None:
            raise DataError(study.fault)
        inputs = record_inputs(study)
        if not force and is_finished(study, work.key(inputs), work.output):
            return "finished"
        segment_study(study, inputs, work)
        return "done"


def _kind(error: Exception) -> Fault:
    if isinstance(error, DataError):
        return "data"
    return "system" if isinstance(error, OSError) else "error"


def describe_error(study: Study, error: Exception) -> str:
    """An error on one line, without DICOM folders: their names may name a patient."""
    line = " ".join(str(error).split()) or "no reason was given"
    if isinstance(error, PermissionError) and error.filename is not None:
        line = (
            f"{error.filename}: expected a file or folder that may be used, found "
            f"{error.strerror}; allow it to the user that runs segpipe"
        )
    elif not isinstance(error, DataError):
        line = f"{type(error).__name__}: {line}"
    return study.without_places(line)


@contextmanager
def case_lock(output: Path, case: str) -> Iterator[bool]:
    """Lock a case while it is segmented.

    The kernel releases the lock when the process ends, even if it is killed; the next
    process that locks the case removes half-written outputs.

    Args:
        output: Folder for the results.
        case: Name of the case.

    Yields:
        Whether the case is locked; if not, another run is at it.
    """
    path = output / f"{case}.lock"
    path = path.with_name(f".{path.name}")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        if not _take(file.fileno(), path):
            yield False
            return
        try:
            remove_parts(output, case)
            yield True
        finally:
            remove_parts(output, case)
            path.unlink(missing_ok=True)


def _take(descriptor: int, path: Path) -> bool:
    """Lock the file, unless its owner removed it between our open and our lock."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except (BlockingIOError, FileNotFoundError):
        return False


def remove_parts(output: Path, case: str) -> None:
    """Remove the half-written outputs of a case; call it while holding the lock."""
    stem = output / case
    name = re.compile(rf"\.{re.escape(stem.name)}({ENDINGS})?(\.\w+)+\.part")
    for path in stem.parent.glob(".*.part"):
        if name.fullmatch(path.name) and path.is_file():
            path.unlink(missing_ok=True)
    shutil.rmtree(parts_folder(output, case), ignore_errors=True)
