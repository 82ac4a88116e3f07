"""Manifest: beside each mask, all that it was made from."""

from pathlib import Path
from typing import Literal

from segpipe.project.documents import Document
from segpipe.project.errors import DataError
from segpipe.registry.mlflow_model.fetch import SegmenterRecord


class InputRecord(Document):
    """One input of a case.

    Attributes:
        name: Of the file; of a DICOM series its SeriesInstanceUID, never its folder.
        files: How many.
        sha256: Of the file; of several, of their sorted digests.
    """

    name: str
    files: int
    sha256: str


class Manifest(Document):
    """NAME.json: where a mask came from.

    Attributes:
        format_version: Of this document.
        case: Name of the case.
        made: When, in UTC.
        key: Digest of inputs, segmenter and settings: the same key, the same mask.
        inputs: What was read.
        outputs: File name to SHA-256.
        segmenter: What segmented it.
        settings: All that may change the result, as it was.
        segpipe: Version of the package and, in a checkout, its commit.
        device: Device, precision and threads, in words.
        shape: Voxels along i, j, k.
        spacing: Along i, j, k, in the unit.
        unit: mm or px.
        orientation: Towards which side i, j, k run, such as LPS.
        voxels: Of each structure.
        volumes_ml: Of each structure; empty for images without a physical spacing.
        seconds: By phase.
        warnings: What was noticed but let pass, and what was converted.
    """

    format_version: Literal[1]
    case: str
    made: str
    key: str
    inputs: tuple[InputRecord, ...]
    outputs: dict[str, str]
    segmenter: SegmenterRecord
    settings: dict[str, str | int | float | bool]
    segpipe: dict[str, str]
    device: str
    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    unit: Literal["mm", "px"]
    orientation: str
    voxels: dict[str, int]
    volumes_ml: dict[str, float]
    seconds: dict[str, float]
    warnings: tuple[str, ...]


def manifest_path(output: Path, case: str) -> Path:
    """Where the manifest of a case lies."""
    return output / f"{case}.json"


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
