"""Manifest: beside each mask, all that it was made from."""

from pathlib import Path
from typing import Literal

from segpipe.documents import Document


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


class SegmenterRecord(Document):
    """Which segmenter it was.

    Attributes:
        name: Of the model in params.yaml, or of the registered model.
        version: Of the registered model; none for a folder.
        digest: Of the whole: of one fold its own, else of the folds' digests.
        folds: Digest of the spec and weights of each fold.
        run: MLflow run that the registered version came from, if it says so.
    """

    name: str
    version: str | None
    digest: str
    folds: tuple[str, ...]
    run: str | None


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
