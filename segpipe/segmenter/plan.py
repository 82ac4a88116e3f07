"""Plan, PatchPlan and Split: what the stages plan and split decide for the rest."""

from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, Field

from segpipe.project.documents import Document, Unit


class Normalization(Document):
    """How the intensities of one channel become numbers of size one.

    Attributes:
        kind: ``zscore`` by the case's own mean and deviation, ``ct`` clips to the
            percentiles of the data set and uses its mean and deviation, ``none``.
        low: Clip below, in the image's unit; this and the rest are 0 unless ``ct``.
        high: Clip above.
        mean: Of foreground voxels of the non-test cases.
        standard_deviation: Likewise.
    """

    kind: Literal["zscore", "ct", "none"]
    low: float
    high: float
    mean: float
    standard_deviation: float


class Plan(Document):
    """plan.json: what preparation does to every case, now and in use.

    Attributes:
        format_version: Of this document.
        dimensions: 2 for images, 3 for volumes.
        unit: Of the spacing.
        spacing: Of the prepared grid along the canonical axes.
        channels: Names of the channels.
        normalization: One a channel.
        structures: Name of each class.
        values: The label files' value of each class.
        ignore: The label files' value for *not annotated*.
        profile: Shapes, spacings, intensities and classes of the non-test cases.
    """

    model_config = ConfigDict(populate_by_name=True)

    format_version: Literal[1]
    dimensions: Literal[2, 3]
    unit: Unit
    spacing: tuple[float, float, float]
    channels: tuple[str, ...]
    normalization: tuple[Normalization, ...]
    structures: tuple[str, ...]
    values: tuple[int, ...]
    ignore: int | None
    profile: "DatasetProfile" = Field(alias="fingerprint")  # the key in older files


class DatasetProfile(Document):
    """What the non-test cases look like, before preparation.

    Attributes:
        cases: How many.
        median_shape: Along the canonical axes, in voxels.
        median_prepared_shape: The same once resampled to the plan's spacing.
        largest_prepared_shape: The largest of each axis, likewise.
        spacings: Smallest, median and largest along each canonical axis.
        intensities: Of each channel: percentiles 0.5, 50, 99.5 over sampled voxels.
        class_frequencies: Share of the annotated voxels of each class.
    """

    cases: int
    median_shape: tuple[int, int, int]
    median_prepared_shape: tuple[int, int, int]
    largest_prepared_shape: tuple[int, int, int]
    spacings: tuple[tuple[float, float, float], ...]
    intensities: tuple[tuple[float, float, float], ...]
    class_frequencies: tuple[float, ...]


class PatchPlan(Document):
    """patches/MODEL.json: what a network sees at once.

    Attributes:
        format_version: Of this document.
        patch_size: Input voxels along i, j, k; a 2-D network has 1 along slice_axis.
        batch_size: Patches a step.
        slice_axis: The axis across which a 2-D network takes slices; None in 3-D.
        memory_gb: Estimated for a training step.
    """

    format_version: Literal[1]
    patch_size: tuple[int, int, int]
    batch_size: int
    slice_axis: int | None
    memory_gb: float


Plan.model_rebuild()


def read_plan(artifacts: Path) -> Plan:
    """What the stage plan wrote."""
    return Plan.read(artifacts / "plan" / "plan.json")


def read_patch_plan(artifacts: Path, model: str) -> PatchPlan:
    """What the stage plan wrote for a model."""
    return PatchPlan.read(artifacts / "plan" / "patches" / f"{model}.json")
