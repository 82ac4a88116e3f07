"""Build: all that a training needs and that does not change while it runs."""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32, Integer

from segpipe.dataset.prepared import read_counts, read_separation
from segpipe.dataset.split import Split, read_split
from segpipe.project.errors import DataError
from segpipe.project.fingerprint import digest_json
from segpipe.project.paths import Paths
from segpipe.segmenter.compute import Compute
from segpipe.segmenter.plan import PatchPlan, Plan, read_patch_plan, read_plan
from segpipe.segmenter.rules.outputs import Outputs
from segpipe.segmenter.segmenter import Segmenter
from segpipe.segmenter.spec import SegmenterSpec
from segpipe.training.distributed import World
from segpipe.training.losses import Loss, build_loss
from segpipe.training.patches.cases import TrainingCase, read_training_case
from segpipe.training.task.pretrained import load_pretrained
from segpipe.training.task.section import NONE, TrainParams

log = logging.getLogger(__name__)


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
    """Warn if a 2-D network sees other planes than its maps of weigh were made in."""
    made = spec.separation
    if made is None or spec.network.dimensions == 3 or spec.plan.dimensions == 2:
        return
    if made.slice_axis != spec.slice_axis:
        log.warning(
            "%s takes slices across axis %s, and lines between touching instances and "
            "their levels lie in slices across axis %d; set weigh.slice_axis: %s",
            spec.model,
            spec.slice_axis,
            made.slice_axis,
            spec.slice_axis,
        )


def _class_weights(
    params: TrainParams, spec: SegmenterSpec, training: tuple[str, ...], paths: Paths
) -> np.ndarray:
    """Class weights w_c over the fold's training cases.

    If they are balanced, their mean over voxels is 1. A class without an annotated
    voxel has weight 0.

    Source:
        Ronneberger 2015, arXiv:1505.04597, section 3, says "to balance the class
        frequencies"; the form N / (K N_k) is docs/decisions/0004-u-net.md.
    """
    if params.class_weights == "none":
        return np.ones(spec.outputs.learned, np.float32)
    counts = read_counts(paths.artifacts, sparse=params.sparse_annotation)
    of_cases = np.array([counts[name] for name in training])
    if params.class_weights == "median_frequency":
        return median_frequency_weights(of_cases)
    return balanced_weights(of_cases.sum(axis=0))


def balanced_weights(
    counts: Integer[np.ndarray, " class"],
) -> Float32[np.ndarray, " class"]:
    """N / (K N_k) of each class with N_k of all N voxels; 0 for a class without any."""
    total = counts.astype(np.float64)
    weights = total.sum() / (len(total) * np.maximum(total, 1))
    return np.where(total > 0, weights, 0).astype(np.float32)


def median_frequency_weights(
    counts: Integer[np.ndarray, "case class"],
) -> Float32[np.ndarray, " class"]:
    """Median of all frequencies over that of each class; 0 for a class without any.

    The frequency of a class is its share of the voxels of the cases that contain it.

    Source:
        Eigen 2015, arXiv:1411.4734, section 6.3.2, as SegNet has it: Badrinarayanan
        2017, arXiv:1511.00561, section 4.
    """
    there = counts > 0
    voxels = np.where(there, counts.sum(axis=1, keepdims=True), 0).sum(axis=0)
    known = there.any(axis=0)
    share = counts.sum(axis=0)[known] / voxels[known]
    weights = np.zeros(counts.shape[1], np.float32)
    weights[known] = np.median(share) / share
    return weights
