"""Plan and PatchPlan: what the stage plan decides for the stages after it."""

from pathlib import Path
from typing import Literal

from segpipe.project.documents import Document, Unit, write_folder

PLAN, PATCHES = "plan.json", "patches"


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
        fingerprint: Of the non-test cases: shapes, spacings, intensities, classes.
    """

    format_version: Literal[1]
    dimensions: Literal[2, 3]
    unit: Unit
    spacing: tuple[float, float, float]
    channels: tuple[str, ...]
    normalization: tuple[Normalization, ...]
    structures: tuple[str, ...]
    values: tuple[int, ...]
    ignore: int | None
    fingerprint: "DatasetProfile"


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


def plan_file(artifacts: Path) -> Path:
    """The file of the plan of all models."""
    return artifacts / "plan" / PLAN


def patch_plan_file(artifacts: Path, model: str) -> Path:
    """The file of the patch plan of a model."""
    return artifacts / "plan" / PATCHES / f"{model}.json"


def read_plan(artifacts: Path) -> Plan:
    """Read the plan that the stage plan wrote."""
    return Plan.read(plan_file(artifacts))


def read_patch_plan(artifacts: Path, model: str) -> PatchPlan:
    """Read the patch plan that the stage plan wrote for a model."""
    return PatchPlan.read(patch_plan_file(artifacts, model))


def write_plans(artifacts: Path, plan: Plan, patches: dict[str, PatchPlan]) -> None:
    """Write the plan, and the patch plan of each model, as one folder.

    Args:
        artifacts: Folder of all stages.
        plan: Plan of all models.
        patches: Patch plan of each model, by its name.
    """
    with write_folder(artifacts / "plan") as folder:
        plan.write(folder / PLAN)
        for model, patch in patches.items():
            patch.write(folder / PATCHES / f"{model}.json")


def coarsest_axis(plan: Plan) -> int:
    """The axis of the largest spacing; the last one where several are alike."""
    if plan.dimensions == 2:
        return 2
    return max(range(3), key=lambda axis: (round(plan.spacing[axis], 6), axis))
