"""Params of planning, and what it asks of a model."""

from typing import Annotated, Literal, Protocol, runtime_checkable

from pydantic import Field

from segpipe.images.grid import Spacing, Triple
from segpipe.networks.build import NetworkSpec
from segpipe.project.params import Params
from segpipe.segmenter.plan import Kind, Plan, Polarity

Percent = Annotated[float, Field(ge=0, le=100)]


class PlanParams(Params):
    """Section plan of params.yaml; ``auto`` is chosen from the profile of the cases.

    Attributes:
        spacing: Spacing of the prepared grid along R, A, S; ``auto`` is the median of
            the cases, and their 10th percentile along a coarse axis.
        normalization: One of zscore, ct, percentile and none for each channel; ``auto``
            is ct for a channel named CT and zscore for others, and ``percentile`` is
            for all channels.
        percentiles: Lower and upper percentile of an image, where the normalization is
            percentile.
        polarity: ``light_on_dark`` inverts each image whose background is light, in the
            channels with percentiles; ``as_is`` inverts none.
        memory_gb: Memory budget of a training step.
        largest_batch: Upper bound of automatic batch sizes.
        emptiness: ``measure`` finds out where images hold nothing and no structure is,
            which predict and segment may leave out; each case is prepared for it once.
        workers: Number of processes that read cases.
    """

    # Never in the params of projects that were written before it.
    emptiness: Literal["measure", "never"] = "never"
    spacing: Literal["auto"] | Spacing
    normalization: Literal["auto", "percentile"] | tuple[Kind, ...]
    # Those of StarDist in the params of projects that were written before these two.
    percentiles: tuple[Percent, Percent] = (1.0, 99.8)
    polarity: Polarity = "as_is"
    memory_gb: float
    largest_batch: int
    workers: int


@runtime_checkable
class ModelShape(Protocol):
    """The fields of TrainParams that decide on patches, and what is said of them.

    TrainParams itself stays out of this module: with its losses and augmentations
    behind plan, a change in one of them would make plan stale.
    """

    @property
    def slice_axis(self) -> Literal["auto", 0, 1, 2]:
        """Axis across which a 2-D network takes slices."""

    @property
    def patch_size(self) -> Literal["auto", "full"] | Triple:
        """Input voxels along i, j, k."""

    @property
    def batch_size(self) -> Literal["auto"] | int:
        """Patches of a step."""

    @property
    def exchanges_sides(self) -> bool:
        """Whether patches are mirrored along R, so that left becomes right."""

    @property
    def learns_instances(self) -> bool:
        """Whether the model needs instance ids."""

    @property
    def coarse(self) -> bool:
        """Whether it first looks for where structures are, at a coarse resolution."""

    def coarse_network_spec(self, plan: Plan, factor: Triple) -> NetworkSpec:
        """The network that looks at a coarse resolution."""

    def network_spec(self, plan: Plan) -> NetworkSpec:
        """The network for the channels and structures of a plan."""
