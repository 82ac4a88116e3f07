"""Models: what each needs of the plan, and its patches."""

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from segpipe.dataset.case import Case
from segpipe.planning.params import ModelShape, PlanParams
from segpipe.planning.patches import plan_patch
from segpipe.project.errors import DataError
from segpipe.segmenter.plan import CoarsePlan, PatchPlan, Plan, coarsest_axis
from segpipe.segmenter.preprocessing.shrinking import shrunk_shape
from segpipe.segmenter.spec import coarse_plan

log = logging.getLogger(__name__)
WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|[^\W\d_]+|\d+")  # of leftKidney, kidney_L
LEAST_FACTOR = 2  # prepared voxels of a coarse one along the finest axis
MOST_FACTOR = 4  # beyond, small structures would vanish in the mean of a block
RIGHT_OF = {"left": "right", "l": "r"}


def expect_ids(models: Mapping[str, ModelShape], cases: Sequence[Case]) -> None:
    """Refuse models of instances before any work if no case has instance ids."""
    named = [name for name, model in models.items() if model.learns_instances]
    if named and not any(case.instances for case in cases):
        raise DataError(
            f"train.{named[0]}: expected target: labels and judged_by: dice where no "
            "case has instance ids (instancesTr), found others; import "
            "the ids with --instances, or set both so, as `segpipe preset "
            "border-weights` does"
        )


def plan_model(
    params: PlanParams, name: str, model: ModelShape, plan: Plan
) -> PatchPlan:
    """Choose the patches of a model, and warn of sides that it would mix up.

    Args:
        params: The section plan.
        name: Name of the model.
        model: What its params say of patches.
        plan: The plan of all models.

    Raises:
        DataError: If a fixed value does not fit the network, or nothing the memory.
    """
    slice_axis = None
    try:
        spec = model.network_spec(plan)
        if spec.dimensions == 2:
            slice_axis = (
                coarsest_axis(plan) if model.slice_axis == "auto" else model.slice_axis
            )
        patch = plan_patch(
            spec,
            profile=plan.profile,
            spacing=plan.spacing,
            slice_axis=slice_axis,
            patch_size=model.patch_size,
            batch_size=model.batch_size,
            memory_gb=params.memory_gb,
            largest_batch=params.largest_batch,
        )
        if model.coarse:
            with _named("coarse"):
                coarse = plan_coarse(params, model, plan, patch)
            patch = patch.model_copy(update={"coarse": coarse})
    except DataError as error:
        raise DataError(f"params.yaml, model {name}: {error}") from error
    pairs = find_pairs(plan.structures)
    if pairs and model.exchanges_sides and patch.slice_axis != 0:
        log.warning(
            "model %s: %s differ by their side only, and augmentation.flip mirrors "
            "left to right; set flip: [A, S]",
            name,
            "; ".join(" and ".join(pair) for pair in pairs),
        )
    log.info(
        "plan %s: patches of %s, %d a step, about %.1f GB",
        name,
        " x ".join(map(str, patch.patch_size)),
        patch.batch_size,
        patch.memory_gb,
    )
    if patch.coarse is not None:
        log.info(
            "plan %s: first at %s voxels a coarse one, in patches of %s, about %.1f GB",
            name,
            " x ".join(map(str, patch.coarse.factor)),
            " x ".join(map(str, patch.coarse.patch_size)),
            patch.coarse.memory_gb,
        )
    return patch


@contextmanager
def _named(part: str) -> Iterator[None]:
    """Say of which part of a model an error is."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{part}: {error}") from error


def plan_coarse(
    params: PlanParams, model: ModelShape, plan: Plan, patch: PatchPlan
) -> CoarsePlan:
    """Choose the resolution at which a model first looks for structures.

    The factor along the finest axis is the number of patches that it takes to cover the
    median case, between two bounds; along the others coarse voxels become as equal in
    length as whole factors make them.

    Args:
        params: The section plan.
        model: What its params say of patches.
        plan: The plan of all models.
        patch: The planned patch at full resolution.

    Raises:
        DataError: If nothing fits the memory.
    """
    median = plan.profile.median_prepared_shape
    needed = (-(-n // size) for n, size in zip(median, patch.patch_size, strict=True))
    side = min(MOST_FACTOR, max(LEAST_FACTOR, *needed)) * min(plan.spacing)
    i, j, k = (max(1, round(side / step)) for step in plan.spacing)
    factor = i, j, k
    found = plan_patch(
        model.coarse_network_spec(plan, factor),
        profile=plan.profile.model_copy(
            update={"median_prepared_shape": shrunk_shape(median, factor)}
        ),
        spacing=coarse_plan(plan, factor).spacing,
        slice_axis=None,
        patch_size="auto",
        batch_size=patch.batch_size,
        memory_gb=params.memory_gb,
        largest_batch=params.largest_batch,
    )
    return CoarsePlan(
        factor=factor,
        patch_size=found.patch_size,
        memory_gb=found.memory_gb,
        topology=found.topology,
    )


def find_pairs(structures: Sequence[str]) -> list[tuple[str, str]]:
    """The pairs of structures whose names differ by left and right, or by l and r."""
    words = {
        tuple(word.lower() for word in WORD.findall(name)): name for name in structures
    }
    pairs = []
    for own, name in words.items():
        other = words.get(tuple(RIGHT_OF.get(word, word) for word in own), name)
        if other != name:
            pairs.append((name, other))
    return pairs
