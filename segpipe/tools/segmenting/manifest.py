"""Records beside the results: the manifest of a label map, or why a case failed."""

from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from segpipe.project.documents import Document
from segpipe.project.errors import DataError
from segpipe.project.fingerprint import digest_file
from segpipe.registry.mlflow_model.locate import SegmenterRecord

# data: the data are wrong. killed: the case killed its process twice. late: it took too
# long. system: a disk or the network failed. error: an error of segpipe.
Fault = Literal["data", "killed", "late", "system", "error"]
# These are tried again in the next run.
PASSING = frozenset({"system", "error"})


class InputRecord(Document):
    """One input of a case.

    Attributes:
        name: Name of the file; SeriesInstanceUID of a DICOM series, never its folder.
        files: Number of files.
        sha256: Digest of the file, or of the sorted digests of several.
    """

    name: str
    files: int
    sha256: str


class Manifest(Document):
    """NAME.json: how a label map was made.

    Attributes:
        format_version: Format of this document.
        case: Name of the case.
        made: Time in UTC.
        key: Digest of inputs, segmenter and settings: the same key, the same mask.
        inputs: Files that were read.
        outputs: File name to SHA-256.
        segmenter: Which segmenter it was.
        settings: SegmentSettings that were used, as its to_json gives them.
        segpipe: Version of the package, digest of its code and, in a checkout, its
            commit.
        device: Device, precision and threads, in words.
        shape: Voxels along i, j, k.
        spacing: Spacing along i, j, k, in the unit.
        unit: mm or px.
        orientation: Sides towards which i, j, k run, such as LPS.
        voxels: Number of voxels of each structure.
        volumes_ml: Volume of each structure; empty without a physical spacing.
        instances: Number of instances of each structure; empty unless they were asked
            for.
        seconds: Duration of each phase.
        warnings: Sentences on what was unusual, and on what was converted.
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
    instances: dict[str, int] = Field(default_factory=dict)
    seconds: dict[str, float]
    warnings: tuple[str, ...]


def manifest_path(output: Path, case: str) -> Path:
    """Path of the manifest of a case."""
    return output / f"{case}.json"


def parts_folder(output: Path, case: str) -> Path:
    """The folder in which the outputs of a case lie until they are complete."""
    path = output / case
    return path.with_name(f".{path.name}.part")


def read_manifest(path: Path) -> Manifest | None:
    """Read a manifest; None if the file is none, or cannot be read."""
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except (ValidationError, OSError):
        return None


class Failure(Document):
    """NAME.failed.json: why a case failed.

    Attributes:
        format_version: Format of this document.
        case: Name of the case.
        made: Time in UTC.
        key: Digest of inputs, segmenter and settings; empty if the inputs could not be
            read.
        inputs: Files that were read.
        kind: Kind of the failure.
        limit_s: Time limit of the case.
        reason: What was expected, what was found, and the remedy, without names of a
            patient.
    """

    format_version: Literal[1]
    case: str
    made: str
    key: str
    inputs: tuple[InputRecord, ...]
    kind: Fault
    limit_s: float
    reason: str

    def holds(self, key: str, *, limit_s: float) -> bool:
        """Whether the case would fail again and is not tried."""
        if self.kind in PASSING or self.key != key:
            return False
        return self.kind != "late" or limit_s <= self.limit_s


def failure_path(output: Path, case: str) -> Path:
    """Path of the failure of a case."""
    return output / f"{case}.failed.json"


def read_failure(output: Path, case: str) -> Failure | None:
    """Read the failure of a case; None if its last attempt did not fail."""
    try:
        failure = Failure.read(failure_path(output, case))
    except DataError:  # no file, or the manifest of a case named CASE.failed
        return None
    return failure if failure.case == case else None


def forget_failure(output: Path, case: str) -> None:
    """Remove the failure of a case that was segmented since."""
    if read_failure(output, case) is not None:
        failure_path(output, case).unlink(missing_ok=True)


def results_in(folder: Path) -> set[str]:
    """Names of the files in a folder that are results, by the records beside them.

    A file that a manifest lists as an output and that has the digest of its input is
    the input: the manifest was copied there.
    """
    names: set[str] = set()
    for path in folder.glob("*.json"):
        manifest = read_manifest(path)
        if manifest is not None:
            inputs = {one.name: one.sha256 for one in manifest.inputs}
            names |= {
                name
                for name in manifest.outputs
                if name not in inputs or not _has_digest(folder / name, inputs[name])
            }
        if manifest is not None or _is_failure(path):
            names.add(path.name)
    return names


def _has_digest(path: Path, digest: str) -> bool:
    try:
        return digest_file(path) == digest
    except OSError:
        return False


def _is_failure(path: Path) -> bool:
    try:
        Failure.read(path)
    except (DataError, OSError):
        return False
    return True
