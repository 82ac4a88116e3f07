"""Task: all that a training needs and that does not change while it runs."""

import logging
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from segpipe.dataset.prepared import read_counts, read_separation
from segpipe.dataset.split import Split, read_split
from segpipe.images.borders import Separation
from segpipe.networks.build import NetworkSpec, build_network
from segpipe.networks.catalogue import NETWORKS, Network, NetworkName
from segpipe.project.errors import DataError
from segpipe.project.fingerprint import digest_json
from segpipe.project.params import Params
from segpipe.project.paths import Paths
from segpipe.segmenter.compute import Compute
from segpipe.segmenter.plan import PatchPlan, Plan, read_patch_plan, read_plan
from segpipe.segmenter.rules.instances import Target
from segpipe.segmenter.segmenter import Segmenter
from segpipe.segmenter.spec import Outputs, SegmenterSpec, segmenter_digest
from segpipe.training.checkpoints import Progress
from segpipe.training.distributed import World
from segpipe.training.losses import Loss, LossParams, build_loss
from segpipe.training.optimization import (
    BUDGETS,
    OptimizerParams,
    build_optimizer,
)
from segpipe.training.patches.augmentation import AugmentationParams
from segpipe.training.patches.sampling import TrainingCase, read_training_case

log = logging.getLogger(__name__)
NONE = "none"  # of start_from
JudgedBy = Literal["dice", "instances"]
SHOWN = 12  # characters of a digest


class TrainParams(Params):
    """Section train.MODEL of params.yaml.

    Attributes:
        network: Name of the network.
        base_channels: Width of the first level; 64 in the paper of unet2d, 32 in that
            of unet3d and of resenc2d and resenc3d, 16 in that of vnet.
        padding: ``valid`` as in the U-Net papers, or ``same`` as in the V-Net paper and
            in that of resenc2d and resenc3d.
        loss: The loss that the training minimizes.
        class_weights: Class weight w_c: ``balanced``, N / (K N_k) over the fold's
            training cases, or ``none``, 1.
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
        judged_by: What the validation cases judge the epoch and all rules by: ``dice``,
            or ``instances``, the average precision of instances.
        seed: Seed of all random choices in the training.
    """

    network: NetworkName
    base_channels: int
    padding: Literal["valid", "same"]
    loss: LossParams
    class_weights: Literal["balanced", "none"]
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

    @property
    def dimensions(self) -> Literal[2, 3]:
        """Number of axes that the network convolves over: 2 or 3."""
        return NETWORKS[self.network].dimensions

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
            network=self.network_spec(plan).model_copy(
                update={"topology": patch.topology}
            ),
            plan=plan,
            patch_size=patch.patch_size,
            slice_axis=patch.slice_axis,
            temperatures=(1.0,),
            separation=separation,
            target=self.target,
        )


@dataclass(frozen=True, eq=False)
class Task:
    """All that a training needs and that does not change while it runs.

    Attributes:
        params: The section train.MODEL.
        plan: Plan of all models.
        patch: Patch plan of this model.
        spec: Spec of the segmenter, before calibration and post-processing.
        compute: Device, precision and threads.
        loss: The loss that the training minimizes.
        training: Training cases.
        validation: Validation cases, by which the epoch is chosen.
        class_weights: Class weight w_c of each class, float32.
        pretrained: Segmenter whose weights are the initial weights, if any.
        world: The processes that share each batch.
        seed: Seed of all random choices.
        checkpoints: Folder of the checkpoints.
        group: Names of the training cases of the sampled group, if there is one.
    """

    params: TrainParams
    plan: Plan
    patch: PatchPlan
    spec: SegmenterSpec
    compute: Compute
    loss: Loss
    training: list[TrainingCase]
    validation: list[TrainingCase]
    class_weights: np.ndarray
    pretrained: Segmenter | None
    world: World
    seed: int
    checkpoints: Path
    group: frozenset[str] = frozenset()


def build_task(
    params: TrainParams,
    model: str,
    fold: int,
    compute: Compute,
    paths: Paths,
    fingerprint: str,
    world: World,
) -> Task:
    """Read what a training needs.

    Args:
        params: The section train.MODEL.
        model: Name of the model.
        fold: Number of the fold, which says which cases are held out.
        compute: Device, precision and threads.
        paths: The project's folders.
        fingerprint: Key of the training; its first characters name the folder of the
            checkpoints.
        world: The processes that share each batch.

    Raises:
        DataError: If the split has no such fold, or ``start_from`` names no segmenter.
    """
    plan = read_plan(paths.artifacts)
    patch = read_patch_plan(paths.artifacts, model)
    split = read_split(paths.artifacts)
    folds = split.folds
    if fold >= len(folds):
        raise DataError(
            f"{paths.params}, folds: expected numbers below split.n_folds = "
            f"{len(folds)}, found {fold}; raise split.n_folds or drop the fold"
        )

    def read(names: tuple[str, ...]) -> list[TrainingCase]:
        return [
            read_training_case(
                paths.artifacts,
                name,
                dimensions=params.dimensions,
                border=params.border_weights,
                sparse=params.sparse_annotation,
                balanced=params.sampling == "balanced",
                matched=params.augmentation.histogram_matching > 0,
                seed=params.seed,
                legend=plan.legend.indexed,
                line=spec.outputs.line,
                levels=params.target == "distance",
            )
            for name in names
        ]

    separation = read_separation(paths.artifacts, params.dimensions)
    spec = params.segmenter_spec(model, plan, patch, separation)
    if world.first:
        warn_of_planes(spec)
    training = read(folds[fold].training)
    without = sum(not set(case.places) - {0} for case in training)
    if without and world.first:
        log.warning(
            "%d of %d training cases have no labelled structure; their patches are "
            "drawn anywhere",
            without,
            len(training),
        )
    return Task(
        params=params,
        plan=plan,
        patch=patch,
        spec=spec,
        compute=compute,
        loss=build_loss(params.loss, world.total, truth_of(spec.outputs)),
        training=training,
        validation=read(folds[fold].validation),
        class_weights=_class_weights(params, spec, folds[fold].training, paths),
        pretrained=load_pretrained(params.start_from, paths.root),
        world=world,
        seed=int(digest_json([params.seed, model, fold])[:8], 16),
        checkpoints=paths.checkpoints / "train" / fingerprint[:20],
        group=find_group(params, split, fold, f"{paths.params}, train.{model}"),
    )


def find_group(
    params: TrainParams, split: Split, fold: int, where: str
) -> frozenset[str]:
    """The names of a fold's training cases in the sampled group; none without one.

    Raises:
        DataError: If the split has no such group, all or none of the training cases
            are in it, or a share is given without a group.
    """
    if params.sampled_group == NONE:
        if params.group_fraction:
            raise DataError(
                f"{where}.group_fraction: expected 0 without a sampled_group, found "
                f"{params.group_fraction:g}; name the group, as COLUMN=VALUE"
            )
        return frozenset()
    column, _, value = params.sampled_group.partition("=")
    of_case, training = split.groups.get(column, {}), split.folds[fold].training
    group = frozenset(name for name in training if of_case.get(name) == value)
    if not 0 < len(group) < len(training):
        known = {
            f"{column}={one}"
            for column, of in split.groups.items()
            for one in of.values()
        }
        raise DataError(
            f"{where}.sampled_group: expected a group with some of the {len(training)} "
            f"training cases of fold {fold}, found {params.sampled_group} with "
            f"{len(group)}; known are {', '.join(sorted(known)) or 'none'}: "
            "list its column in split.groups, or set sampled_group: none"
        )
    return group


def truth_of(outputs: Outputs) -> torch.Tensor | None:
    """Whether a structure (row) holds a class (column); None if outputs are classes."""
    return torch.from_numpy(outputs.truth) if outputs.overlap else None


def warn_of_planes(spec: SegmenterSpec) -> None:
    """Warn if a 2-D network sees other planes than its weight maps were drawn in."""
    made = spec.separation
    if made is None or spec.network.dimensions == 3 or spec.plan.dimensions == 2:
        return
    if made.slice_axis != spec.slice_axis:
        log.warning(
            "%s takes slices across axis %s, and lines between touching instances lie "
            "in slices across axis %d; set weigh.slice_axis: %s",
            spec.model,
            spec.slice_axis,
            made.slice_axis,
            spec.slice_axis,
        )


def _class_weights(
    params: TrainParams, spec: SegmenterSpec, training: tuple[str, ...], paths: Paths
) -> np.ndarray:
    """Class weights w_c over the fold's training cases; their mean over voxels is 1.

    A class without an annotated voxel has weight 0.

    Source:
        Ronneberger 2015, arXiv:1505.04597, section 3, says "to balance the class
        frequencies"; the form N / (K N_k) is docs/decisions/0004-u-net.md.
    """
    if params.class_weights == "none":
        return np.ones(spec.outputs.learned, np.float32)
    counts = read_counts(paths.artifacts, sparse=params.sparse_annotation)
    total = np.sum([counts[name] for name in training], axis=0).astype(np.float64)
    weights = total.sum() / (len(total) * np.maximum(total, 1))
    return np.where(total > 0, weights, 0).astype(np.float32)


def load_pretrained(text: str, root: Path) -> Segmenter | None:
    """Load the segmenter that ``FOLDER@DIGEST`` names.

    The digest makes the params change with the content of the folder, so that a
    training from other weights is stale.

    Args:
        text: Value of ``start_from``; the folder is relative to the project's root.
        root: The project's root.

    Returns:
        The segmenter; None for ``none``.

    Raises:
        DataError: If the folder is no segmenter, or its digest is another one.
    """
    if text == NONE:
        return None
    name, _, digest = text.rpartition("@")
    folder = name or text
    segmenter = Segmenter.load(root / folder)
    found = segmenter_digest(root / folder)[:SHOWN]
    if digest != found or not name:
        raise DataError(
            f"start_from: expected {folder}@{found}, the folder with the digest of "
            f"its content, found {text}; was the segmenter replaced?"
        )
    return segmenter


def start_from(network: Network, segmenter: Segmenter, name: NetworkName) -> None:
    """Copy the weights whose shapes fit; all others keep their initial values.

    Args:
        network: The network that is trained; changed in place.
        segmenter: The segmenter whose first network is copied.
        name: Name of the network that is trained.

    Raises:
        DataError: If the segmenter has another network, or no weights fit.
    """
    spec = segmenter.spec.network
    if spec.name != name:
        raise DataError(f"start_from: expected a {name}, found a {spec.name}")
    old, new = segmenter.networks[0].state_dict(), network.state_dict()
    fitting = {
        key: value
        for key, value in old.items()
        if key in new and new[key].shape == value.shape
    }
    if not fitting:
        raise DataError(
            f"start_from: expected weights that fit base_channels, found those of "
            f"{spec.base_channels}; set base_channels to it"
        )
    network.load_state_dict({**new, **fitting})
    log.info("start from %s: %d of %d tensors", spec.name, len(fitting), len(new))


def start_or_resume(task: Task) -> Progress:
    """Build a new or pretrained network, or resume an interrupted training."""
    torch.manual_seed(task.seed)
    network = build_network(task.spec.network)
    if task.pretrained is not None:
        start_from(network, task.pretrained, task.params.network)
    network.to(task.compute.device)
    flat = task.patch.slice_axis is not None
    layout = torch.channels_last if flat else torch.channels_last_3d
    network.to(memory_format=layout)  # type: ignore[call-overload]
    optimizer = build_optimizer(task.params.optimizer, network.parameters())
    progress = Progress(network, optimizer)
    if task.params.optimizer.ema:
        progress.average = deepcopy(network)
    progress.resume(task.checkpoints)
    if task.compute.compile:
        network.compile(dynamic=False)
    return progress
