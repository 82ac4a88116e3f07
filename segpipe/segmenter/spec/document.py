"""The spec of a segmenter: all that it takes to use it, besides the weights."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt

from segpipe.images.borders import Separation
from segpipe.images.grid import Triple
from segpipe.networks.build import NetworkSpec
from segpipe.project.documents import Document, is_empty
from segpipe.project.errors import DataError
from segpipe.segmenter.plan import Plan
from segpipe.segmenter.rules.instances import (
    InstanceRule,
    Target,
    combine_instance_rules,
)
from segpipe.segmenter.rules.postprocessing import StructureRule, combine_rules
from segpipe.segmenter.spec.outputs import Outputs

SPEC = "spec.json"


class CoarseSpec(Document):
    """How a segmenter first finds where structures are, at a coarse resolution.

    Attributes:
        network: The coarse network, which tells structures from background.
        factor: Prepared voxels of a coarse voxel along i, j, k.
        patch_size: Input voxels of a training patch.
        thresholds: For each network, the probability of a structure above which the
            place is looked at; all look where one of them says.
        reach: Coarse voxels on each side of such a place that are looked at, too.
        missed: The largest share of a component of a structure in a validation case
            that lies where the segmenter does not look; None if none was there.
        looked_at: Share of the validation cases where it looks; None without any.
    """

    network: NetworkSpec
    factor: tuple[PositiveInt, PositiveInt, PositiveInt]
    patch_size: tuple[PositiveInt, PositiveInt, PositiveInt]
    thresholds: tuple[float, ...]
    reach: int
    missed: float | None
    looked_at: float | None


def spec_file(folder: Path) -> Path:
    """The file of the spec in the folder of a segmenter."""
    return folder / SPEC


class SegmenterSpec(Document):
    """All that is needed to use a segmenter, besides the weights.

    Attributes:
        format_version: Format of this document.
        model: Name of the model in params.yaml.
        network: The network, the same for all folds.
        plan: Plan of the training data: preprocessing, structures and profile.
        patch_size: Input voxels of a training patch.
        slice_axis: The axis across which a 2-D network takes slices; None in 3-D.
        temperatures: Divisor of the logits of each network; 1 unless calibrated.
        postprocessing: Rule of each structure, without background; or none at all.
        separation: The lines between touching instances that were trained, if any.
        target: What was learned: the ``labels``, with lines as background; or their
            ``contact`` as a class of its own; or the levels of ``distance``.
        instances: Rule of each structure, without background, by which its instances
            are told apart; none for connected components.
        coarse: How it first finds where structures are; None if it looks everywhere.
    """

    format_version: Literal[1]
    model: str
    network: NetworkSpec
    plan: Plan
    patch_size: tuple[PositiveInt, PositiveInt, PositiveInt]
    slice_axis: int | None
    temperatures: tuple[PositiveFloat, ...]
    postprocessing: tuple[StructureRule, ...] = ()  # older segmenters have none
    separation: Separation | None = None  # older segmenters do not say it
    target: Target = Field("labels", exclude_if=lambda target: target == "labels")
    instances: tuple[InstanceRule, ...] = Field((), exclude_if=is_empty)
    coarse: CoarseSpec | None = Field(None, exclude_if=is_empty)

    @property
    def outputs(self) -> Outputs:
        """What the channels of the networks mean."""
        return Outputs(self.plan.legend, self.target)

    @property
    def lines(self) -> Separation | None:
        """The lines of background over which instances grow back, if any."""
        return self.separation if self.target == "labels" else None

    @property
    def rules(self) -> dict[int, StructureRule]:
        """The rules that do something, by the structures' values in the data set.

        They are by the numbers of the structures where these overlap.
        """
        values = self.plan.values[1:]
        if self.outputs.overlap:
            values = tuple(range(1, len(self.plan.structures)))
        pairs = zip(values, self.postprocessing, strict=False)
        return {v: rule for v, rule in pairs if rule.drops or rule.fill_holes}


def coarse_plan(plan: Plan, factor: Triple) -> Plan:
    """The plan of a coarse network: the same images, and one structure of all."""
    i, j, k = (step * n for step, n in zip(plan.spacing, factor, strict=True))
    return plan.model_copy(
        update={
            "spacing": (i, j, k),
            "structures": ("background", "structure"),
            "values": (0, 1),
            "ignore": None,
            "unions": None,
            "emptiness": None,
        }
    )


def coarse_spec(spec: SegmenterSpec, coarse: CoarseSpec) -> SegmenterSpec:
    """The coarse networks of a segmenter as a segmenter of their own."""
    return SegmenterSpec(
        format_version=1,
        model=spec.model,
        network=coarse.network,
        plan=coarse_plan(spec.plan, coarse.factor),
        patch_size=coarse.patch_size,
        slice_axis=None,
        temperatures=(1.0,) * len(spec.temperatures),
    )


def combine_specs(
    folders: Sequence[Path], specs: Sequence[SegmenterSpec]
) -> SegmenterSpec:
    """Combine the specs of several folds; only rules that all folds chose are kept.

    Args:
        folders: Folder of each segmenter, for the error.
        specs: Spec of each segmenter.

    Raises:
        DataError: If they differ in plan or network.
    """
    shared = {
        "temperatures": tuple(t for spec in specs for t in spec.temperatures),
        "postprocessing": combine_rules([spec.postprocessing for spec in specs]),
        "instances": combine_instance_rules([spec.instances for spec in specs]),
    }
    combined = [
        spec.model_copy(update={**shared, "coarse": coarse})
        for spec, coarse in zip(specs, _combine_coarse(specs), strict=True)
    ]
    for folder, spec in zip(folders, combined, strict=True):
        if spec != combined[0]:
            raise DataError(
                f"{folder}: expected the plan and network of {folders[0]}, found "
                "others; run `dvc repro` so that all folds share them"
            )
    return combined[0]


def _combine_coarse(specs: Sequence[SegmenterSpec]) -> list[CoarseSpec | None]:
    """The coarse part of each fold, with the thresholds of all of them.

    The largest shares of what they miss and where they look stand for all.
    """
    known = [spec.coarse for spec in specs if spec.coarse is not None]
    shared = {
        "thresholds": tuple(t for one in known for t in one.thresholds),
        "missed": _largest([one.missed for one in known]),
        "looked_at": _largest([one.looked_at for one in known]),
    }
    return [spec.coarse and spec.coarse.model_copy(update=shared) for spec in specs]


def _largest(shares: Sequence[float | None]) -> float | None:
    """The largest known share."""
    return max((share for share in shares if share is not None), default=None)


def read_combined_spec(folders: Sequence[Path]) -> SegmenterSpec:
    """Read the specs of several folds as one, without their weights."""
    read = [SegmenterSpec.read(spec_file(folder)) for folder in folders]
    return combine_specs(folders, read)
