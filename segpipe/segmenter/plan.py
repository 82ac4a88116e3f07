"""Plan and PatchPlan: what the stage plan decides for the stages after it."""

from pathlib import Path
from typing import Literal

from pydantic import (
    ConfigDict,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
)

from segpipe.images.region import Emptiness, Region
from segpipe.images.values import Legend, Unions
from segpipe.networks.topology import Topology
from segpipe.project.documents import Document, Unit, is_empty, write_folder

PLAN, PATCHES = "plan.json", "patches"
Kind = Literal["zscore", "ct", "percentile", "none"]
Polarity = Literal["as_is", "light_on_dark"]
# What 1 is after percentiles, as a share of their distance: about the deviation of a
# stained image, so that augmentation, in deviations, means the same as for z-scores.
PERCENTILE_UNIT = 0.25


class Normalization(Document):
    """How the intensities of one channel are normalized.

    Attributes:
        kind: ``zscore`` uses mean and deviation of the case, over the plan's region;
            ``ct`` clips to percentiles of the data set and uses its mean and deviation;
            ``percentile`` maps two percentiles of the image to 0 and 1, without
            clipping, subtracts the mean and divides by the deviation that stand here;
            ``none`` keeps the intensities.
        low: Lower limit of clipping, in the image's unit, or lower percentile; all
            numbers are 0 for zscore and none.
        high: Upper limit of clipping, or upper percentile.
        mean: Mean of foreground voxels of the non-test cases; 0 for percentiles.
        standard_deviation: Standard deviation of the same voxels; PERCENTILE_UNIT for
            percentiles.

    Source:
        Percentiles of the image, not clipped: Weigert 2018, CSBDeep, ``normalize``,
        doi:10.1038/s41592-018-0216-7; StarDist takes 1 and 99.8, arXiv:1806.03535.
    """

    kind: Kind
    low: float
    high: float
    mean: float
    standard_deviation: NonNegativeFloat


class Plan(Document):
    """Preprocessing of every case, in training and in use.

    Attributes:
        format_version: Format of this document.
        dimensions: 2 for images, 3 for volumes.
        unit: Unit of the spacing.
        spacing: Spacing of the prepared grid along the canonical axes.
        channels: Names of the channels.
        normalization: Normalization of each channel.
        structures: Name of each structure, background first.
        values: Value of each class in label files, background first.
        ignore: Value of voxels without annotation in label files.
        region: Voxels of a case over which z-scores take mean and deviation; None for
            the whole resampled image, as in plans written before there was a region,
            and without z-scores.
        unions: The values of each structure, if some unite several; None if structures
            are classes.
        missing_channels: ``zeros`` if an image may lack channels, which are then 0
            after normalization.
        polarity: ``light_on_dark`` if images with a light background are inverted,
            channels with percentiles only.
        emptiness: Where no structure of a non-test case is, if that was measured and
            holds for all of them.
        profile: Shapes, spacings, intensities and classes of the non-test cases.
    """

    model_config = ConfigDict(populate_by_name=True)

    format_version: Literal[1]
    dimensions: Literal[2, 3]
    unit: Unit
    spacing: tuple[PositiveFloat, PositiveFloat, PositiveFloat]
    channels: tuple[str, ...]
    normalization: tuple[Normalization, ...]
    structures: tuple[str, ...]
    values: tuple[int, ...]
    ignore: int | None
    region: Region | None = None
    unions: Unions | None = Field(None, exclude_if=is_empty)
    missing_channels: Literal["zeros"] | None = Field(None, exclude_if=is_empty)
    polarity: Literal["light_on_dark"] | None = Field(None, exclude_if=is_empty)
    emptiness: Emptiness | None = Field(None, exclude_if=is_empty)
    profile: "DatasetProfile" = Field(alias="fingerprint")  # the key in older files

    @property
    def legend(self) -> Legend:
        """What the values of label files stand for."""
        return Legend(self.structures, self.values, self.unions)


class DatasetProfile(Document):
    """Profile of the non-test cases, before preprocessing.

    Attributes:
        cases: Number of cases.
        median_shape: Median shape along the canonical axes, in voxels.
        median_prepared_shape: Median shape after resampling to the plan's spacing.
        largest_prepared_shape: Largest size along each axis after resampling.
        spacings: Smallest, median and largest spacing along each canonical axis.
        intensities: Percentiles 0.5, 50 and 99.5 of sampled voxels of each channel.
        class_frequencies: Share of the annotated voxels of each class.
    """

    cases: int
    median_shape: tuple[PositiveInt, PositiveInt, PositiveInt]
    median_prepared_shape: tuple[PositiveInt, PositiveInt, PositiveInt]
    largest_prepared_shape: tuple[PositiveInt, PositiveInt, PositiveInt]
    spacings: tuple[tuple[PositiveFloat, PositiveFloat, PositiveFloat], ...]
    intensities: tuple[tuple[float, float, float], ...]
    class_frequencies: tuple[NonNegativeFloat, ...]


class CoarsePlan(Document):
    """The resolution at which a model first looks for where structures are.

    Attributes:
        factor: Prepared voxels of a coarse voxel along i, j, k.
        patch_size: Input voxels of the coarse network along i, j, k.
        memory_gb: Estimated memory of its training step.
        topology: Strides and kernels of a network that follows the patch.
    """

    factor: tuple[PositiveInt, PositiveInt, PositiveInt]
    patch_size: tuple[PositiveInt, PositiveInt, PositiveInt]
    memory_gb: float
    topology: Topology | None = Field(None, exclude_if=is_empty)


class PatchPlan(Document):
    """Patches and batches of a model.

    Attributes:
        format_version: Format of this document.
        patch_size: Input voxels along i, j, k; a 2-D network has 1 along slice_axis.
        batch_size: Patches per step.
        slice_axis: The axis across which a 2-D network takes slices; None in 3-D.
        memory_gb: Estimated memory of a training step.
        topology: Strides and kernels of a network that follows the patch.
        coarse: Where the model first looks at a coarse resolution, how.
    """

    format_version: Literal[1]
    patch_size: tuple[PositiveInt, PositiveInt, PositiveInt]
    batch_size: PositiveInt
    slice_axis: int | None
    memory_gb: float
    topology: Topology | None = Field(None, exclude_if=is_empty)
    coarse: CoarsePlan | None = Field(None, exclude_if=is_empty)


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
    """The axis with the largest spacing; of equal ones the last."""
    if plan.dimensions == 2:
        return 2
    return max(range(3), key=lambda axis: (round(plan.spacing[axis], 6), axis))
