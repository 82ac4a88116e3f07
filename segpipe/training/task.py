"""Training: what a training is made of, and its step."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from segpipe.dataset.prepared import read_counts
from segpipe.dataset.split import read_split
from segpipe.networks.build import NetworkSpec, build_network
from segpipe.networks.catalogue import NETWORKS, Network, NetworkName
from segpipe.project.errors import DataError
from segpipe.project.fingerprint import digest_json
from segpipe.project.params import Params
from segpipe.project.paths import Paths
from segpipe.segmenter.compute import Compute
from segpipe.segmenter.plan import PatchPlan, Plan, read_patch_plan, read_plan
from segpipe.segmenter.segmenter import Segmenter
from segpipe.segmenter.spec import SegmenterSpec, segmenter_digest
from segpipe.training.checkpoints import Progress
from segpipe.training.distributed import World
from segpipe.training.losses import Loss, LossParams, build_loss
from segpipe.training.optimization import (
    OptimizerParams,
    build_optimizer,
)
from segpipe.training.patches.augmentation import AugmentationParams
from segpipe.training.patches.sampling import TrainingCase, read_training_case

log = logging.getLogger(__name__)


class TrainParams(Params):
    """Section train.MODEL of params.yaml.

    Attributes:
        network: The system of the literature.
        base_channels: Its width; the paper's 64, 32 and 16 are unet2d, unet3d, vnet.
        padding: ``valid`` as the U-Net papers have it, or ``same`` (V-Net: same).
        loss: What the training lowers.
        class_weights: w_c: ``balanced``, N / (K N_k) over the fold's training cases, or
            ``none``, 1.
        border_weights: Add the border term of weigh to the weight.
        sparse_annotation: Learn only from the voxels that annotate chose.
        slice_axis: Of a 2-D network on volumes: across which axis it takes slices;
            ``auto`` is the axis of the largest spacing.
        patch_size: Input voxels along i, j, k; ``auto``, what fits the memory; or
            ``full``, whole images: what covers the largest case.
        batch_size: Patches a step, of all processes together, or ``auto``: the plan's.
        sampling: Where patches are drawn: ``foreground``, a share of them centred on a
            structure; or ``balanced``, on a voxel of each class alike often.
        foreground_fraction: The share, of foreground.
        augmentation: Random transforms of patches.
        optimizer: How weights change.
        start_from: ``none``, or FOLDER@DIGEST of a segmenter whose weights to start
            from: to train it longer, on more data, or for other structures.
        epochs: An epoch is steps_per_epoch steps, then perhaps a validation.
        steps_per_epoch: Batches an epoch.
        validation_interval: Epochs between validations on whole held-out cases.
        validation_overlap_fraction: Of the tiles in these.
        calibrate: Divide logits by the temperature that suits the validation cases.
        postprocessing: ``auto``, rules chosen on the validation cases; or ``none``.
        seed: Of all chance in the training.
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
    augmentation: AugmentationParams
    optimizer: OptimizerParams
    start_from: str
    epochs: int
    steps_per_epoch: int
    validation_interval: int
    validation_overlap_fraction: float
    calibrate: bool
    postprocessing: Literal["auto", "none"]
    seed: int

    @property
    def dimensions(self) -> int:
        """2 or 3: what the network convolves over."""
        return NETWORKS[self.network].dimensions


@dataclass(frozen=True, eq=False)
class Task:
    """What does not change during a training.

    Attributes:
        params: The section.
        plan: Of all models.
        patch: Of this model.
        spec: Of the segmenter that comes of it.
        compute: Where and how.
        loss: What is lowered.
        training: Cases to learn from.
        validation: Cases to choose the epoch by.
        class_weights: w_c, by class.
        pretrained: Whose weights to start from.
        world: The processes that share each batch.
        seed: Of all chance.
        checkpoints: Their folder.
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
        params: The section.
        model: Its name.
        fold: Which cases are held out.
        compute: Where and how.
        paths: Of the project.
        fingerprint: Key of the training; its start names the folder of checkpoints.
        world: The processes that share each batch.

    Raises:
        DataError: If there is no such fold, or not the segmenter to start from.
    """
    plan = read_plan(paths.artifacts)
    patch = read_patch_plan(paths.artifacts, model)
    folds = read_split(paths.artifacts).folds
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
                border=params.border_weights,
                sparse=params.sparse_annotation,
                balanced=params.sampling == "balanced",
                matched=params.augmentation.histogram_matching > 0,
                seed=params.seed,
            )
            for name in names
        ]

    network = NetworkSpec(
        name=params.network,
        in_channels=len(plan.channels),
        out_channels=len(plan.values),
        base_channels=params.base_channels,
        padding=params.padding,
    )
    spec = SegmenterSpec(
        format_version=1,
        model=model,
        network=network,
        plan=plan,
        patch_size=patch.patch_size,
        slice_axis=patch.slice_axis,
        temperatures=(1.0,),
    )
    training = read(folds[fold].training)
    without = sum(not set(case.places) - {0} for case in training)
    if without and world.first:
        log.warning(
            "%d of %d training cases hold no labelled structure: their patches are "
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
        loss=build_loss(params.loss, world.total),
        training=training,
        validation=read(folds[fold].validation),
        class_weights=_class_weights(params, plan, folds[fold].training, paths),
        pretrained=load_pretrained(params.start_from, paths.root),
        world=world,
        seed=int(digest_json([params.seed, model, fold])[:8], 16),
        checkpoints=paths.checkpoints / "train" / fingerprint[:20],
    )


def _class_weights(
    params: TrainParams, plan: Plan, training: tuple[str, ...], paths: Paths
) -> np.ndarray:
    """w_c of the U-Net paper over the fold's training cases: mean 1 under the data.

    Source:
        Ronneberger 2015, arXiv:1505.04597, section 3, says "to balance the class
        frequencies"; the form N / (K N_k) is docs/decisions/0004-u-net.md.
    """
    if params.class_weights == "none":
        return np.ones(len(plan.values), dtype=np.float32)
    counts = read_counts(paths.artifacts)
    total = np.sum([counts[name] for name in training], axis=0).astype(np.float64)
    weights = total.sum() / (len(total) * np.maximum(total, 1))
    return np.where(total > 0, weights, 0).astype(np.float32)


def start_or_resume(task: Task) -> Progress:
    """A new network or a pretrained one; or what an interrupted training came to."""
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
    progress.resume(task.checkpoints)
    if task.compute.compile:
        network.compile(dynamic=False)
    return progress


NONE = "none"
SHOWN = 12  # characters of a digest


def load_pretrained(text: str, root: Path) -> Segmenter | None:
    """The segmenter that ``FOLDER@DIGEST`` names; ``none`` is none.

    The digest makes the name change with the content, so that what was trained from
    other weights is known to be stale.

    Args:
        text: Of params.yaml; the folder is relative to the project's root.
        root: Of the project.

    Raises:
        DataError: If the folder is no segmenter, or not the one of the digest.
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
            f"what it holds, found {text}; was it replaced?"
        )
    return segmenter


def start_from(network: Network, segmenter: Segmenter, name: NetworkName) -> None:
    """Copy the weights that fit; those that do not, such as other classes', stay.

    Args:
        network: To start.
        segmenter: Whose first network is copied.
        name: Of the network.

    Raises:
        DataError: If it is another network, or nothing fits.
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
            f"{spec.base_channels}; set the same"
        )
    network.load_state_dict({**new, **fitting})
    log.info("start from %s: %d of %d tensors", spec.name, len(fitting), len(new))
