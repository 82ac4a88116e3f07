"""Section: what params.yaml says of a model, and the segmenter that it makes."""

import math
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from segpipe.images.borders import Separation
from segpipe.images.grid import Triple
from segpipe.networks.build import NetworkSpec, dimensions_of, find_argument_fault
from segpipe.networks.catalogue import NETWORKS, NetworkName
from segpipe.networks.layers import Skips, UpsamplingName
from segpipe.project.documents import is_empty
from segpipe.project.errors import DataError
from segpipe.project.params import Params
from segpipe.segmenter.plan import PatchPlan, Plan
from segpipe.segmenter.rules.instances import Target
from segpipe.segmenter.rules.outputs import Outputs
from segpipe.segmenter.spec import SegmenterSpec, coarse_plan
from segpipe.training.losses import LossParams
from segpipe.training.optimization import BUDGETS, OptimizerParams
from segpipe.training.patches.augmentation import AugmentationParams

NONE = "none"  # of start_from
ALL = "all"  # of learned_part
COARSE_SHARE = 0.25  # of the epochs, which the coarse network learns for
PLAIN = {"target": "labels", "judged_by": "dice", "border_weights": False}
JudgedBy = Literal["dice", "instances"]


class TrainParams(Params):
    """Section train.MODEL of params.yaml.

    Attributes:
        network: Name of the network.
        base_channels: Width of the first level; 64 in the paper of unet2d and in VGG16,
            32 in that of unet3d and of resenc2d and resenc3d, 16 in that of vnet.
        padding: ``valid`` or ``same``; the network's docstring says what its paper has.
        upsampling: Name of the up-sampling of encoder_decoder; without it, transposed.
        skips: How a unet2d joins features; without it, by concatenation.
        arguments: Further arguments of a network of MONAI, by MONAI's names.
        loss: The loss that the training minimizes.
        class_weights: Class weight w_c: ``balanced``, N / (K N_k) over the fold's
            training cases; ``median_frequency``, median(f) / f_k with f_k the share of
            class k in the cases that contain it; or ``none``, 1.
        border_weights: Add the border term of weigh to the weight of each voxel.
        sparse_annotation: Know only the voxels that annotate chose: in the loss, the
            weights, the choice of patches, the validation and all that it chooses.
        slice_axis: Axis across which a 2-D network takes the slices of volumes;
            ``auto`` is the axis of the largest spacing.
        patch_size: Input voxels along i, j, k; ``auto``, the largest patch that fits
            the memory; or ``full``, a patch that covers the largest case.
        batch_size: Patches of a step, over all processes; ``auto``, as planned.
        sampling: Where patches are drawn: ``foreground``, a share of them is centred
            on a structure; or ``balanced``, the classes are equally frequent centres.
        foreground_fraction: Share of the patches centred on a structure.
        sampled_group: ``none``, or COLUMN=VALUE of one of split.groups: the cases of
            which the share group_fraction of the patches is drawn.
        group_fraction: Share of the patches from the sampled group; the others are
            from all other cases.
        augmentation: Random transforms of patches.
        optimizer: Optimizer and learning-rate schedule.
        start_from: ``none``, or FOLDER@DIGEST of a segmenter whose weights are the
            initial weights: to train it longer, on more data or for other structures.
        learned_part: ``all`` weights are trained; or those whose names begin so, such
            as ``second.classify``, and all others keep their initial values.
        budget: ``params``, epochs and steps_per_epoch as written; or ``minutes``,
            ``hour`` or ``day``, those of BUDGETS, which are then left out of params.
        epochs: Number of epochs.
        steps_per_epoch: Steps of an epoch; a step is one batch.
        validation_interval: Epochs between validations on whole held-out cases.
        validation_overlap_fraction: Overlap of neighbouring tiles in a validation.
        patience: Number of validations without a rise of the smoothed validation Dice
            after which the training ends, or ``never``.
        calibrate: Divide logits by the temperature that fits the validation cases.
        postprocessing: ``auto``, rules chosen on the validation cases; or ``none``.
        target: What is learned: ``labels``, where lines between touching instances are
            background; ``contact``, where these lines are a class of their own; or
            ``distance``, in levels how deep a voxel lies in its instance.
        coarse: Train a second network at a coarse resolution, too, which finds where
            structures are; the other one then works there only.
        judged_by: What the validation cases judge the epoch and all rules by: ``dice``,
            or ``instances``, the average precision of instances.
        seed: Seed of all random choices in the training.
    """

    network: NetworkName
    base_channels: int
    padding: Literal["valid", "same"]
    # None of these in the params of projects that were written before them.
    learned_part: str = Field(ALL, exclude_if=lambda part: part == ALL)
    upsampling: UpsamplingName | None = Field(None, exclude_if=is_empty)
    skips: Skips | None = Field(None, exclude_if=is_empty)
    arguments: dict[str, Any] = Field({}, exclude_if=is_empty, validate_default=True)
    loss: LossParams
    class_weights: Literal["balanced", "median_frequency", "none"]
    border_weights: bool
    sparse_annotation: bool
    slice_axis: Literal["auto", 0, 1, 2]
    patch_size: Literal["auto", "full"] | tuple[int, int, int]
    batch_size: Literal["auto"] | int
    sampling: Literal["foreground", "balanced"]
    foreground_fraction: float
    # Neither in the params of projects that were written before them.
    sampled_group: str = Field(NONE, exclude_if=lambda group: group == NONE)
    group_fraction: float = Field(0.0, ge=0, le=1, exclude_if=lambda share: share == 0)
    augmentation: AugmentationParams
    optimizer: OptimizerParams
    start_from: str
    # Never in the params of projects that were written before it.
    budget: Literal["params", "minutes", "hour", "day"] = Field(
        "params", exclude_if=lambda value: value == "params"
    )
    epochs: int = Field(0, validate_default=True)  # 0: not written
    steps_per_epoch: int = Field(0, validate_default=True)
    validation_interval: int
    validation_overlap_fraction: float
    # Never in the params of projects that were written before it.
    patience: Literal["never"] | Annotated[int, Field(ge=1)] = "never"
    calibrate: bool
    postprocessing: Literal["auto", "none"]
    # Neither in the params of projects that were written before them.
    target: Target = Field("labels", exclude_if=lambda target: target == "labels")
    judged_by: JudgedBy = Field("dice", exclude_if=lambda figure: figure == "dice")
    # Never in the params of projects that were written before it.
    coarse: bool = Field(False, exclude_if=lambda coarse: not coarse)
    seed: int

    @field_validator("epochs", "steps_per_epoch")
    @classmethod
    def _take_length(cls, written: int, info: Any) -> int:
        """Take the number from the budget, if there is one, and refuse another."""
        budget, name = info.data.get("budget"), info.field_name
        if budget not in BUDGETS:
            if written < 1:
                text = f"expected 1 or more, found {written or 'nothing'}"
                raise PydanticCustomError("length", "{text}", {"text": text})
            return written
        number = BUDGETS[budget][name]
        if written not in (0, number):
            text = (
                f"expected nothing beside budget: {budget}, which has {number}, found "
                f"{written}; drop the line, or set budget: params"
            )
            raise PydanticCustomError("length", "{text}", {"text": text})
        return number

    @field_validator("loss")
    @classmethod
    def _network_has_levels(cls, loss: LossParams, info: Any) -> LossParams:
        """Refuse deep supervision of a network that has logits at one level only."""
        network = NETWORKS.get(info.data.get("network", ""))
        if loss.deep_supervision and not getattr(network, "has_levels", False):
            having = [n for n in NETWORKS if getattr(NETWORKS[n], "has_levels", False)]
            text = (
                f"expected deep_supervision: false but for {' and '.join(having)}, "
                "whose papers have it; set it to false"
            )
            raise PydanticCustomError("deep_supervision", "{text}", {"text": text})
        return loss

    @field_validator("loss")
    @classmethod
    def _network_has_this_loss(cls, loss: LossParams, info: Any) -> LossParams:
        """Refuse another loss of a network that brings its own, and own of others."""
        network, known = info.data.get("network"), NETWORKS
        own = [name for name in known if getattr(known[name], "brings_loss", False)]
        if network is not None and (network in own) != (loss.name == "own"):
            text = (
                f"expected the name own for {' and '.join(own)}, and for no other, "
                f"found {loss.name} for {network}; change it"
            )
            raise PydanticCustomError("loss", "{text}", {"text": text})
        if loss.name == "own" and loss.kept_fraction != 1:
            text = "expected kept_fraction: 1 beside the name own; set it to 1"
            raise PydanticCustomError("loss", "{text}", {"text": text})
        return loss

    @field_validator("class_weights", "border_weights", "target")
    @classmethod
    def _own_loss_takes_it(cls, chosen: Any, info: Any) -> Any:
        """Refuse what a loss that a network brings would pass over in silence."""
        loss, plain = info.data.get("loss"), {"class_weights": "none", **PLAIN}
        wanted = plain[info.field_name]
        if loss is not None and loss.name == "own" and chosen != wanted:
            text = (
                f"expected {str(wanted).lower()}, as {info.data.get('network')} brings "
                f"its own loss, found {str(chosen).lower()}; change it"
            )
            raise PydanticCustomError("own", "{text}", {"text": text})
        return chosen

    @field_validator("upsampling", "skips")
    @classmethod
    def _network_takes_it(cls, chosen: str | None, info: Any) -> str | None:
        """Refuse a choice that the network would pass over in silence."""
        network, name = info.data.get("network"), info.field_name
        if chosen and network and not hasattr(NETWORKS[network], f"takes_{name}"):
            text = f"expected nothing, as {network} has its own; drop the line"
            raise PydanticCustomError(name, "{text}", {"text": text})
        return chosen

    @field_validator("arguments")
    @classmethod
    def _network_takes_arguments(
        cls, given: dict[str, Any], info: Any
    ) -> dict[str, Any]:
        """Refuse arguments that the class of MONAI does not take."""
        network, width = info.data.get("network"), info.data.get("base_channels")
        if network is None or width is None:
            return given  # refused already
        if fault := find_argument_fault(network, given, width):
            raise PydanticCustomError("arguments", "{text}", {"text": fault})
        return given

    @field_validator("padding")
    @classmethod
    def _network_has_padding(cls, padding: str, info: Any) -> str:
        """Refuse a padding that the network would pass over in silence."""
        network = info.data.get("network")
        if network is not None and padding not in NETWORKS[network].paddings:
            known = " or ".join(NETWORKS[network].paddings)
            text = f"expected {known}, the only padding of {network}"
            raise PydanticCustomError("padding", "{text}", {"text": text})
        return padding

    @field_validator("target")
    @classmethod
    def _target_has_counts(cls, target: str, info: Any) -> str:
        """Refuse class weights by counts of classes that weigh does not count."""
        if target != "labels" and info.data.get("class_weights") != "none":
            text = f"expected class_weights: none beside it, as {target} is not counted"
            raise PydanticCustomError("target", "{text}", {"text": text})
        return target

    @field_validator("coarse")
    @classmethod
    def _coarse_has_volumes(cls, coarse: bool, info: Any) -> bool:
        """Refuse a coarse resolution beside a network that sees single slices."""
        network, given = info.data.get("network"), info.data.get("arguments", {})
        if coarse and network and dimensions_of(network, given) == 2:
            text = "expected false beside a 2-D network, which sees single slices"
            raise PydanticCustomError("coarse", "{text}", {"text": text})
        return coarse

    @property
    def dimensions(self) -> Literal[2, 3]:
        """Number of axes that the network convolves over: 2 or 3."""
        return dimensions_of(self.network, self.arguments)

    @property
    def learns_instances(self) -> bool:
        """Whether the cases must have instance ids."""
        return self.target != "labels" or self.judged_by == "instances"

    @property
    def exchanges_sides(self) -> bool:
        """Whether patches are mirrored along R, so that left becomes right."""
        return 0 in self.augmentation.flipped_axes

    def network_spec(self, plan: Plan) -> NetworkSpec:
        """The network of this model for the channels and structures of a plan.

        Raises:
            DataError: If the model weighs borders and structures may overlap, or
                matches histograms and cases may lack channels.
        """
        outputs = Outputs(plan.legend, self.target)
        if self.augmentation.histogram_matching and plan.missing_channels:
            raise DataError(
                "augmentation.histogram_matching: expected 0 where cases may lack "
                "channels (verify.missing_channels), which have no histogram, found "
                f"{self.augmentation.histogram_matching:g}; set it to 0"
            )
        if self.border_weights and outputs.overlap:
            raise DataError(
                "border_weights: expected false where structures overlap "
                f"({', '.join(plan.structures[1:])}), which have no border of their "
                "own, found true; set it to false"
            )
        if self.loss.name == "own" and outputs.overlap:
            raise DataError(
                "network: expected one that learns structures that overlap "
                f"({', '.join(plan.structures[1:])}), found {self.network}, whose "
                "objects have one class each; choose another network"
            )
        if self.learns_instances and outputs.overlap:
            raise DataError(
                "target and judged_by: expected labels and dice where structures "
                f"overlap ({', '.join(plan.structures[1:])}), which have no instances, "
                f"found {self.target} and {self.judged_by}; set them so"
            )
        return NetworkSpec(
            name=self.network,
            in_channels=len(plan.channels),
            out_channels=outputs.channels,
            base_channels=self.base_channels,
            padding=self.padding,
            upsampling=self.upsampling,
            skips=self.skips,
            arguments=self.arguments,
        )

    def coarse_network_spec(self, plan: Plan, factor: Triple) -> NetworkSpec:
        """The network of this model that tells structures from background."""
        coarse = self.model_copy(update=PLAIN)
        return coarse.network_spec(coarse_plan(plan, factor))

    @property
    def of_coarse(self) -> "TrainParams":
        """The params of the coarse network, which learns for a part of the epochs."""
        return self.model_copy(
            update={
                **PLAIN,
                "epochs": math.ceil(COARSE_SHARE * self.epochs),
                "start_from": NONE,
                "learned_part": ALL,
                "calibrate": False,
                "postprocessing": "none",
                "coarse": False,
            }
        )

    def segmenter_spec(
        self, model: str, plan: Plan, patch: PatchPlan, separation: Separation | None
    ) -> SegmenterSpec:
        """The segmenter that a training makes, before it chooses rules or temperature.

        Args:
            model: Name of the model.
            plan: The plan of the data.
            patch: The planned patch of the model.
            separation: The lines between touching instances, if any.

        Raises:
            DataError: If contact is to be learned and there are no lines.
        """
        if self.target == "contact" and separation is None:
            raise DataError(
                f"train.{model}.target: expected labels where there are no lines "
                "between touching instances, found contact; give instance ids, and set "
                "weigh.separate_touching: true"
            )
        return SegmenterSpec(
            format_version=1,
            model=model,
            network=self.network_spec(plan).planned(
                patch.patch_size, patch.slice_axis, patch.topology
            ),
            plan=plan,
            patch_size=patch.patch_size,
            slice_axis=patch.slice_axis,
            temperatures=(1.0,),
            separation=separation,
            target=self.target,
        )
