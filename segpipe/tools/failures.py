"""Failure: beside the results, which case failed, of what, and what was tried."""

from pathlib import Path
from typing import Literal

from segpipe.documents import Document
from segpipe.errors import DataError
from segpipe.manifest import InputRecord

# What the next run tries again by itself: a full disk, a lost share, an error of ours.
PASSING = frozenset({"system", "error"})


class Failure(Document):
    """CASE.failed.json.

    Attributes:
        format_version: Of this document.
        case: Name of the case.
        made: When, in UTC.
        key: Digest of inputs, segmenter and settings; empty if the inputs could not be
            read.
        inputs: What was read.
        kind: ``data``: they are wrong. ``killed``: it killed its process twice.
            ``late``: it took too long. ``system``: the disk, the network. ``error``:
            an error of the code.
        limit_s: How long it was let to take.
        reason: What was expected, found, and the mend, without names of a patient.
    """

    format_version: Literal[1]
    case: str
    made: str
    key: str
    inputs: tuple[InputRecord, ...]
    kind: Literal["data", "killed", "late", "system", "error"]
    limit_s: float
    reason: str

    def holds(self, key: str, *, limit_s: float) -> bool:
        """Whether the same would fail again, so that it is not tried."""
        if self.kind in PASSING or self.key != key:
            return False
        return self.kind != "late" or limit_s <= self.limit_s


def failure_path(output: Path, case: str) -> Path:
    """Where the failure of a case lies."""
    return output / f"{case}.failed.json"


def read_failure(output: Path, case: str) -> Failure | None:
    """The failure of a case, if it failed when it was last tried."""
    try:
        failure = Failure.read(failure_path(output, case))
    except DataError:  # none, or the manifest of a case that is called so
        return None
    return failure if failure.case == case else None


def forget_failure(output: Path, case: str) -> None:
    """Remove the failure of a case that is well now."""
    if read_failure(output, case) is not None:
        failure_path(output, case).unlink(missing_ok=True)
