"""plan: choose spacing, normalization and patches from a profile of the cases."""

import logging
import math
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from pydantic import Field

from segpipe.dataset.case import Case, CaseList, read_cases
from segpipe.dataset.case_files import read_case, read_case_label
from segpipe.dataset.casework.digests import DataDigests
from segpipe.dataset.casework.finished import CaseCache
from segpipe.dataset.casework.mapping import map_cases
from segpipe.dataset.split import read_split
from segpipe.dataset.survey import CaseSurvey, recall_survey, survey_case
from segpipe.evaluation.metrics import dice
from segpipe.evaluation.scores import LOW_CEILING, mean_known
from segpipe.images.grid import Spacing, Triple
from segpipe.images.region import (
    Emptiness,
    Region,
    farthest_voxel,
    held_voxels,
    usual,
)
from segpipe.images.volume import ImageStream
from segpipe.networks.build import NetworkSpec, build_network, size_rule
from segpipe.networks.catalogue import Network
from segpipe.networks.layers import SizeRule
from segpipe.networks.memory import training_memory_gb
from segpipe.project.documents import parse_json, write_json
from segpipe.project.errors import DataError
from segpipe.project.fingerprint import fingerprint
from segpipe.project.params import Params
from segpipe.project.paths import Paths
from segpipe.segmenter.plan import (
    PERCENTILE_UNIT,
    DatasetProfile,
    Kind,
    Normalization,
    PatchPlan,
    Plan,
    Polarity,
    coarsest_axis,
    write_plans,
)
from segpipe.segmenter.preprocessing.classes import NOT_ANNOTATED, classes_of
from segpipe.segmenter.preprocessing.images import case_moments, prepare_image
from segpipe.segmenter.preprocessing.labels import resample_classes
from segpipe.segmenter.preprocessing.normalization import prepared_floors

log = logging.getLogger(__name__)
Percent = Annotated[float, Field(ge=0, le=100)]
PERCENTILES = (0.5, 50, 99.5)  # of intensities: low, median, high
WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|[^\W\d_]+|\d+")  # of leftKidney, kidney_L
RIGHT_OF = {"left": "right", "l": "r"}
LARGE = 1 << 20  # voxels of a prepared case
RESAMPLED = 8  # cases whose label maps are resampled there and back
MOSTLY_AIR = 0.75  # smaller boxes leave out a quarter of the median case or more
FARTHEST = 16  # prepared voxels: structures that reach farther into nothing forbid it
SAFETY = 2  # times the distance that was seen, and
SPARE = 4  # prepared voxels more
FARTHEST_FILE = "farthest.json"  # in an entry of the cache
COARSE = 3.0  # an axis is coarse if its spacing is this many times the others'


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

    def network_spec(self, plan: Plan) -> NetworkSpec:
        """The network for the channels and structures of a plan."""


def run(params: PlanParams, *, models: Mapping[str, ModelShape], paths: Paths) -> None:
    """Write the plan and the patch plans to artifacts/plan; test cases are not read.

    Args:
        params: The section plan.
        models: Name of each model to its params.
        paths: The project's folders.

    Raises:
        DataError: If a fixed value does not fit the data or a network.
    """
    cases = read_cases(paths.artifacts)
    test = set(read_split(paths.artifacts).test)
    slim = cases.model_copy(update={"cases": ()})
    known = [case for case in cases.cases if case.name not in test]
    _expect_ids(models, known)
    shared = paths, slim, DataDigests.load(paths)
    surveys = map_cases(
        partial(survey_case, *shared),
        known,
        workers=params.workers,
        name=lambda case: case.name,
        describe="plan",
        known=partial(recall_survey, *shared),
    )
    plan = _build_plan(params, cases, surveys, paths)
    if params.emptiness == "measure":
        floors = _floors(plan, surveys)
        farthest = map_cases(
            partial(_farthest_structure, *shared, plan, floors),
            known,
            workers=params.workers,
            name=lambda case: case.name,
            describe="plan, empty voxels",
            known=partial(_recall_farthest, *shared, plan, floors),
        )
        found = choose_emptiness(floors, farthest)
        plan = plan.model_copy(update={"emptiness": found})
    some = known[:: math.ceil(len(known) / RESAMPLED)] if known else []
    kept = map_cases(
        partial(_kept_dice, paths, slim, plan),
        some,
        workers=params.workers if _is_large(plan) else 1,
        name=lambda case: case.name,
        describe="plan, label maps",
    )
    _warn_of_spacing(plan, kept)
    patches = {
        name: _plan_model(params, name, model, plan) for name, model in models.items()
    }
    write_plans(paths.artifacts, plan, patches)


def _expect_ids(models: Mapping[str, ModelShape], cases: Sequence[Case]) -> None:
    """Refuse models of instances before any work if no case has instance ids."""
    named = [name for name, model in models.items() if model.learns_instances]
    if named and not any(case.instances for case in cases):
        raise DataError(
            f"train.{named[0]}: expected target: labels and judged_by: dice where no "
            "case has instance ids (instancesTr), found contact or instances; import "
            "the ids with --instances, or set both so, as `segpipe preset "
            "border-weights` does"
        )


def _is_large(plan: Plan) -> bool:
    """Whether label maps take longer to resample than a worker takes to start."""
    return math.prod(plan.profile.largest_prepared_shape) > LARGE


def _kept_dice(paths: Paths, cases: CaseList, plan: Plan, case: Case) -> list[float]:
    """Dice of each structure with itself, resampled to the plan's spacing and back."""
    label = read_case_label(paths.data, cases, case)
    turn = label.grid.to_canonical
    drawn = turn.apply(classes_of(label.array, plan))
    prepared = resample_classes(
        drawn, label.grid.reoriented(turn).shape_at(plan.spacing)
    )
    i, j, k = drawn.shape
    back = resample_classes(prepared, (i, j, k))
    known = drawn != NOT_ANNOTATED
    legend = plan.legend.indexed
    return [
        dice(legend.mask(drawn, number) & known, legend.mask(back, number) & known)
        for number in range(1, len(legend.structures))
    ]


def _warn_of_spacing(plan: Plan, kept: list[list[float]]) -> None:
    """Warn of structures that the spacing is too coarse for.

    Args:
        plan: The plan.
        kept: Dice of each structure with itself, for some cases.
    """
    for name, column in zip(plan.structures[1:], zip(*kept, strict=True), strict=False):
        mean = mean_known(list(column))
        if mean < LOW_CEILING:
            log.warning(
                "plan: at spacing %s no network can reach more than a Dice of %.3f for "
                "%s (mean of %d cases); set plan.spacing finer",
                " x ".join(f"{value:.3g}" for value in plan.spacing),
                mean,
                name,
                len(kept),
            )


def _build_plan(
    params: PlanParams, cases: CaseList, surveys: list[CaseSurvey], paths: Paths
) -> Plan:
    samples = _known_samples(cases, surveys, paths)
    shapes = np.array([one.grid.shape for one in surveys])
    spacings = np.array([one.grid.spacing for one in surveys])
    counts = np.sum([one.counts for one in surveys], axis=0)
    spacing = params.spacing
    if spacing == "auto":
        spacing = _choose_spacing(spacings)
    prepared = np.array([one.grid.shape_at(spacing) for one in surveys])
    profile = DatasetProfile(
        cases=len(surveys),
        median_shape=_triple(np.median(shapes, axis=0).round().astype(int)),
        median_prepared_shape=_triple(np.median(prepared, axis=0).round().astype(int)),
        largest_prepared_shape=_triple(np.max(prepared, axis=0)),
        spacings=tuple(
            _three(float(f(axis)) for f in (np.min, np.median, np.max))
            for axis in spacings.T
        ),
        intensities=tuple(
            _three(np.percentile(channel, PERCENTILES).tolist()) for channel in samples
        ),
        class_frequencies=tuple((counts / max(1, counts.sum())).tolist()),
    )
    normalization = _normalization(params, cases, samples, paths)
    plan = Plan(
        format_version=1,
        dimensions=cases.dimensions,
        unit=cases.unit,
        spacing=spacing,
        channels=cases.channels,
        normalization=normalization,
        structures=cases.structures,
        values=cases.values,
        ignore=cases.ignore,
        profile=profile,
        unions=cases.legend.unions,
        missing_channels=cases.missing_channels,
        region=_choose_region(normalization, surveys),
        polarity=None if params.polarity == "as_is" else params.polarity,
    )
    log.info(
        "plan: spacing %s %s, median prepared shape %s",
        " x ".join(f"{value:.3g}" for value in spacing),
        cases.unit,
        " x ".join(map(str, profile.median_prepared_shape)),
    )
    return plan


def _known_samples(
    cases: CaseList, surveys: list[CaseSurvey], paths: Paths
) -> list[np.ndarray]:
    """Sampled intensities of each channel, of the cases that have it.

    Raises:
        DataError: If no case has a channel.
    """
    joined = np.concatenate([one.samples for one in surveys], axis=1)
    samples = [channel[~np.isnan(channel)] for channel in joined]
    for name, channel in zip(cases.channels, samples, strict=True):
        if not channel.size:
            raise DataError(
                f"{paths.data}: expected the channel {name} in a case that is not to "
                "test, found it in none; add files of it, or take it from "
                "channel_names in dataset.json"
            )
    return samples


def _choose_spacing(spacings: np.ndarray) -> Spacing:
    """Choose the median spacing, and the 10th percentile along a coarse axis.

    The 10th percentile is finer; it is never finer than the other axes.

    Source:
        Isensee 2021, doi:10.1038/s41592-020-01008-z, supplementary note 2.
    """
    median = np.median(spacings, axis=0)
    worst = int(np.argmax(median))
    if median[worst] > COARSE * np.delete(median, worst).max():
        median[worst] = max(
            np.percentile(spacings[:, worst], 10), np.delete(median, worst).max()
        )
    return _three(median.tolist())


def _choose_region(
    normalization: tuple[Normalization, ...], surveys: list[CaseSurvey]
) -> Region | None:
    """Choose the voxels over which z-scores are taken; None without z-scores.

    A channel's background is the value that the corners of at least half of the cases
    have. In a set that is mostly air, as after skull stripping, the empty voxels inside
    the box do not count either.

    Source:
        nnU-Net crops to the box of the non-zero voxels, and takes the moments over the
        non-zero ones if the median case keeps less than 3/4 of its voxels: Isensee
        2021, doi:10.1038/s41592-020-01008-z, online methods; nnU-Net v2,
        ``median_relative_size_after_cropping``.
    """
    if all(how.kind != "zscore" for how in normalization):
        return None
    columns = np.stack([one.background for one in surveys], axis=1)
    known = (column[~np.isnan(column)] for column in columns)
    background = tuple(usual(column.tolist()) for column in known)
    share = float(np.median([one.box_share for one in surveys]))
    region = Region(
        kind="voxels" if share < MOSTLY_AIR else "box", background=background
    )
    log.info(
        "plan: z-scores over the %s; the box without empty borders (background %s) "
        "holds %.0f %% of the median case",
        "voxels that are not empty" if region.kind == "voxels" else "box",
        ", ".join(f"{value:g}" for value in background),
        100 * share,
    )
    return region


def _floors(plan: Plan, surveys: list[CaseSurvey]) -> tuple[float, ...]:
    """Value of each channel where an image holds nothing.

    For ct it is the lower limit of clipping: all that is below it looks the same to a
    network. Otherwise it is the background, as for the region.
    """
    columns = np.stack([one.background for one in surveys], axis=1)
    backgrounds = (usual(one[~np.isnan(one)].tolist()) for one in columns)
    return tuple(
        how.low if how.kind == "ct" else value
        for how, value in zip(plan.normalization, backgrounds, strict=True)
    )


def _recall_farthest(
    paths: Paths,
    cases: CaseList,
    digests: DataDigests,
    plan: Plan,
    floors: tuple[float, ...],
    case: Case,
) -> int | None:
    """What _farthest_structure found before; None if it did not."""
    key = _farthest_key(cases, digests, plan, floors, case)
    kept = CaseCache(paths.cache / "plan").read(key)
    if kept is None:
        return None
    found: int = parse_json(Path(FARTHEST_FILE), kept[FARTHEST_FILE])
    return found


def _farthest_structure(
    paths: Paths,
    cases: CaseList,
    digests: DataDigests,
    plan: Plan,
    floors: tuple[float, ...],
    case: Case,
) -> int:
    """How far a structure reaches into what is empty, kept in the cache.

    Returns:
        Prepared voxels to the nearest one that is not empty, of the farthest voxel of a
        structure; -1 if the case shows no structure.
    """
    key = _farthest_key(cases, digests, plan, floors, case)
    found = _measure_farthest(paths, cases, plan, floors, case)
    with tempfile.TemporaryDirectory() as name:
        write_json(Path(name) / FARTHEST_FILE, found)
        CaseCache(paths.cache / "plan").store(key, Path(name))
    return found


def _farthest_key(
    cases: CaseList,
    digests: DataDigests,
    plan: Plan,
    floors: tuple[float, ...],
    case: Case,
) -> str:
    return fingerprint(
        __name__,
        files=[digests.of(file) for file in (*case.images, case.label)],
        missing=case.missing,
        floors=floors,
        plan=plan.model_dump(mode="json", exclude={"profile", "structures"}),
        spacing_mm=cases.spacing_mm,
    )


def _measure_farthest(
    paths: Paths, cases: CaseList, plan: Plan, floors: tuple[float, ...], case: Case
) -> int:
    image = read_case(paths.data, cases, case)
    moments = case_moments(ImageStream.of(image), plan)
    label = read_case_label(paths.data, cases, case)
    drawn = label.grid.to_canonical.apply(classes_of(label.array, plan))
    prepared, grid = prepare_image(image, plan, moments=moments)
    structures = resample_classes(drawn, grid.shape) > 0
    if not structures.any():
        return -1
    held = held_voxels(prepared, prepared_floors(floors, plan, moments))
    return farthest_voxel(structures, held, limit=FARTHEST)


def choose_emptiness(
    floors: tuple[float, ...], farthest: Sequence[int]
) -> Emptiness | None:
    """Choose how far from all that is not empty no structure can be.

    Args:
        floors: Value of each channel where there is nothing.
        farthest: How far the structures of each case reach into what is empty, in
            prepared voxels; -1 for a case without structures.

    Returns:
        Twice the largest distance and 4 voxels more; None if no case shows a structure
        or one reaches more than FARTHEST voxels into what is empty.
    """
    seen = [one for one in farthest if one >= 0]
    if not seen or max(seen) > FARTHEST:
        log.info(
            "plan: nothing counts as empty, as %s",
            f"a structure lies more than {FARTHEST} voxels from all that is not"
            if seen
            else "no case shows a structure",
        )
        return None
    reach = SAFETY * max(seen) + SPARE
    log.info(
        "plan: no structure lies more than %d voxels from what is not empty (floors "
        "%s); tiles with a reach of %d may be left out",
        max(seen),
        ", ".join(f"{value:g}" for value in floors),
        reach,
    )
    return Emptiness(floors=floors, reach=reach)


def _normalization(
    params: PlanParams, cases: CaseList, samples: list[np.ndarray], paths: Paths
) -> tuple[Normalization, ...]:
    kinds: tuple[Kind, ...]
    if params.normalization == "auto":
        kinds = tuple(_usual_kind(channel) for channel in cases.channels)
    elif params.normalization == "percentile":
        every: Kind = "percentile"
        kinds = (every,) * len(cases.channels)
    else:
        kinds = params.normalization
    if len(kinds) != len(cases.channels):
        raise DataError(
            f"{paths.params}, plan.normalization: expected one for each channel "
            f"({', '.join(cases.channels)}), found {list(kinds)}; write auto or a list"
        )
    low, high = params.percentiles
    if low >= high:
        raise DataError(
            f"{paths.params}, plan.percentiles: expected a lower and an upper one, "
            f"found {low:g} and {high:g}; write for example [1, 99.8]"
        )
    if params.polarity != "as_is" and "percentile" not in kinds:
        raise DataError(
            f"{paths.params}, plan.polarity: expected as_is without a channel whose "
            f"normalization is percentile, found {params.polarity}; set "
            "plan.normalization: percentile"
        )
    return tuple(
        _normalization_of(kind, channel, params.percentiles)
        for kind, channel in zip(kinds, samples, strict=True)
    )


def _normalization_of(
    kind: Kind, samples: np.ndarray, percentiles: tuple[float, float]
) -> Normalization:
    """The normalization of a channel, with figures of the data set only for ct.

    Without them a new case leaves the plan as it is.
    """
    low = high = mean = deviation = 0.0
    if kind == "percentile":
        (low, high), deviation = percentiles, PERCENTILE_UNIT
    if kind == "ct":
        samples = samples.astype(np.float64)
        low, _, high = np.percentile(samples, PERCENTILES).tolist()
        mean, deviation = float(samples.mean()), float(samples.std())
    return Normalization(
        kind=kind, low=low, high=high, mean=mean, standard_deviation=deviation
    )


def _usual_kind(channel: str) -> Kind:
    return "ct" if channel.upper() == "CT" else "zscore"


def _plan_model(
    params: PlanParams, name: str, model: ModelShape, plan: Plan
) -> PatchPlan:
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
    return patch


def _triple(values: np.ndarray) -> Triple:
    i, j, k = (max(1, int(value)) for value in values)
    return i, j, k


def _three(values: Iterable[float]) -> Spacing:
    a, b, c = values
    return float(a), float(b), float(c)


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


def plan_patch(
    spec: NetworkSpec,
    *,
    profile: DatasetProfile,
    spacing: Spacing,
    slice_axis: int | None,
    patch_size: Literal["auto", "full"] | Triple,
    batch_size: Literal["auto"] | int,
    memory_gb: float,
    largest_batch: int,
) -> PatchPlan:
    """Choose the largest patch of which two fit the memory, then the batch size.

    The patch starts at the smallest valid size whose output covers the median prepared
    case; its largest axis shrinks step by step until a batch of two fits. A network
    that normalizes by the statistics of its input needs more than one voxel at its
    deepest level.

    Args:
        spec: Spec of the network.
        profile: Profile of the cases, with their prepared shapes.
        spacing: Spacing of the prepared grid, which some networks follow.
        slice_axis: Axis across which a 2-D network takes slices; None in 3-D.
        patch_size: A fixed size in voxels, ``auto``, or ``full``, which covers the
            largest case.
        batch_size: A fixed size, or ``auto``.
        memory_gb: Memory budget of a training step.
        largest_batch: Upper bound of an automatic batch size.

    Raises:
        DataError: If a fixed patch is not valid for the network, or no patch fits the
            memory.
    """
    shaped = _Shaped(spec, spacing, slice_axis)
    if patch_size == "auto":
        wanted = 2 if batch_size == "auto" else batch_size
        size = _largest(shaped, profile.median_prepared_shape, wanted, memory_gb)
    elif patch_size == "full":
        size = shaped.covering(profile.largest_prepared_shape)
    else:
        _check(shaped, patch_size)
        size = patch_size
    each, fixed = training_memory_gb(shaped.network(size), size, slice_axis)
    fitting = int((memory_gb - fixed) / each)
    batch = max(1, min(fitting, largest_batch)) if batch_size == "auto" else batch_size
    return PatchPlan(
        format_version=1,
        patch_size=size,
        batch_size=batch,
        slice_axis=slice_axis,
        memory_gb=round(fixed + batch * each, 3),
        topology=spec.for_patch(size, spacing, slice_axis).topology,
    )


@dataclass(frozen=True)
class _Shaped:
    """A network before its patch is chosen.

    Attributes:
        spec: Its spec, without a topology.
        spacing: Spacing of the prepared grid.
        slice_axis: The axis across which a 2-D network takes slices; None in 3-D.
    """

    spec: NetworkSpec
    spacing: Spacing
    slice_axis: int | None

    def network(self, patch_size: Triple) -> Network:
        """The network for a patch, on torch's meta device."""
        spec = self.spec.for_patch(patch_size, self.spacing, self.slice_axis)
        with torch.device("meta"):
            return build_network(spec)

    def rules(self, patch_size: Triple) -> dict[int, SizeRule]:
        """The sizes that the network for a patch takes along each of its axes."""
        network = self.network(patch_size)
        return {
            axis: size_rule(network, axis, self.slice_axis)
            for axis in range(3)
            if axis != self.slice_axis
        }

    def covering(self, shape: Triple) -> Triple:
        """The smallest valid input whose output is at least as large as a shape."""
        rules = self.rules(shape)
        i, j, k = (
            rules[axis].input_size(size) if axis in rules else 1
            for axis, size in enumerate(shape)
        )
        return self.widened((i, j, k))

    def widened(self, patch_size: Triple) -> Triple:
        """The patch, or twice its size along an axis if it has one voxel at the bottom.

        A single voxel has no variance by which a network could normalize.
        """
        rules = self.rules(patch_size)
        alone = all(patch_size[axis] == rule.stride for axis, rule in rules.items())
        if not self.spec.sees_tile_statistics or not alone:
            return patch_size
        first = min(rules)
        i, j, k = (size * (1 + (n == first)) for n, size in enumerate(patch_size))
        return i, j, k


def _check(shaped: _Shaped, patch_size: Triple) -> None:
    """Refuse a fixed patch that is not valid for the network."""
    rules = shaped.rules(patch_size)
    for axis, size in enumerate(patch_size):
        if axis in rules:
            rules[axis].output_size(size)
        elif size != 1:
            raise DataError(
                f"patch_size: expected 1 along the slice axis {axis} of a 2-D network, "
                f"found {list(patch_size)}; set it to 1 or choose another slice_axis"
            )
    works = shaped.widened(patch_size)
    if works != patch_size:
        raise DataError(
            "patch_size: expected more than one voxel at the deepest level of the "
            f"network, which normalizes by their values, found {list(patch_size)}; the "
            f"smallest patch that works is {list(works)}"
        )


def _largest(
    shaped: _Shaped, median_shape: Triple, batch_size: int, memory_gb: float
) -> Triple:
    """The largest patch of which a batch fits the memory."""
    outputs = median_shape
    while True:
        size = shaped.covering(outputs)
        network = shaped.network(size)
        each, fixed = training_memory_gb(network, size, shaped.slice_axis)
        if fixed + batch_size * each <= memory_gb:
            return size
        # Shrink the largest axis to the next smaller valid size.
        axis = size.index(max(size))
        rule = size_rule(network, axis, shaped.slice_axis)
        smaller = size[axis] - 2 * rule.margin - rule.stride
        i, j, k = (smaller if n == axis else outputs[n] for n in range(3))
        outputs = (i, j, k)
        if smaller < 1 or shaped.covering(outputs) == size:
            raise DataError(
                f"plan.memory_gb: expected room for two of the smallest patches, found "
                f"{memory_gb} GB against {fixed + batch_size * each:.2f} GB; raise it, "
                "or lower base_channels or batch_size"
            )
