"""plan: the fingerprint of the non-test cases, and what follows from it."""

import logging
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import torch

from segpipe.dataset.case import CaseList, read_cases
from segpipe.dataset.casework import map_cases
from segpipe.dataset.split import read_split
from segpipe.dataset.survey import CaseSurvey, survey_case
from segpipe.images.grid import Spacing, Triple
from segpipe.networks.build import NetworkSpec, build_network
from segpipe.networks.catalogue import Network, NetworkName
from segpipe.networks.memory import training_memory_gb
from segpipe.project.errors import DataError
from segpipe.project.params import Params
from segpipe.project.paths import Paths
from segpipe.segmenter.plan import (
    DatasetProfile,
    Normalization,
    PatchPlan,
    Plan,
    coarsest_axis,
    write_plans,
)

log = logging.getLogger(__name__)
Kind = Literal["zscore", "ct", "none"]
PERCENTILES = (0.5, 50, 99.5)  # of intensities: low, median, high
COARSE = 3.0  # an axis this much coarser than the others counts as anisotropic


class PlanParams(Params):
    """Section plan of params.yaml; ``auto`` follows from the fingerprint.

    Attributes:
        spacing: Of the prepared grid along R, A, S: ``auto`` is the median of the
            cases, along a coarse axis their 10th percentile.
        normalization: One of zscore, ct, none a channel; ``auto`` is ct for a channel
            named CT and zscore for others.
        memory_gb: Budget of a training step.
        largest_batch: Bound of automatic batch sizes.
        workers: Processes that read cases.
    """

    spacing: Literal["auto"] | Spacing
    normalization: Literal["auto"] | tuple[Kind, ...]
    memory_gb: float
    largest_batch: int
    workers: int


@runtime_checkable
class ModelShape(Protocol):
    """What of TrainParams decides how much memory a patch needs."""

    @property
    def network(self) -> NetworkName:
        """The system of the literature."""

    @property
    def base_channels(self) -> int:
        """Its width."""

    @property
    def padding(self) -> Literal["valid", "same"]:
        """Of its convolutions."""

    @property
    def slice_axis(self) -> Literal["auto", 0, 1, 2]:
        """Across which axis a 2-D network takes slices."""

    @property
    def patch_size(self) -> Literal["auto", "full"] | tuple[int, int, int]:
        """Input voxels, auto or full."""

    @property
    def batch_size(self) -> Literal["auto"] | int:
        """Patches a step, or auto."""


def run(params: PlanParams, *, models: Mapping[str, ModelShape], paths: Paths) -> None:
    """Write the plan and the patch plans to artifacts/plan; test cases are not read.

    Raises:
        DataError: If a fixed value does not fit the data or a network.
    """
    cases = read_cases(paths.artifacts)
    test = set(read_split(paths.artifacts).test)
    looks = map_cases(
        partial(survey_case, paths, cases.model_copy(update={"cases": ()})),
        [case for case in cases.cases if case.name not in test],
        workers=params.workers,
        name=lambda case: case.name,
        describe="plan",
    )
    plan = _build_plan(params, cases, looks, paths)
    patches = {
        name: _plan_model(params, name, model, plan) for name, model in models.items()
    }
    write_plans(paths.artifacts, plan, patches)


def _build_plan(
    params: PlanParams, cases: CaseList, looks: list[CaseSurvey], paths: Paths
) -> Plan:
    samples = np.concatenate([look.samples for look in looks], axis=1)
    spacing = params.spacing
    if spacing == "auto":
        spacing = _choose_spacing(np.array([look.grid.spacing for look in looks]))
    shapes = np.array([look.grid.shape for look in looks])
    prepared = np.array([look.grid.shape_at(spacing) for look in looks])
    counts = np.sum([look.counts for look in looks], axis=0)
    spacings = np.array([look.grid.spacing for look in looks])
    profile = DatasetProfile(
        cases=len(looks),
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
    plan = Plan(
        format_version=1,
        dimensions=cases.dimensions,
        unit=cases.unit,
        spacing=spacing,
        channels=cases.channels,
        normalization=_normalization(params, cases, samples, paths),
        structures=cases.structures,
        values=cases.values,
        ignore=cases.ignore,
        profile=profile,
    )
    log.info(
        "plan: spacing %s %s, median prepared shape %s",
        " x ".join(f"{value:.3g}" for value in spacing),
        cases.unit,
        " x ".join(map(str, profile.median_prepared_shape)),
    )
    return plan


def _choose_spacing(spacings: np.ndarray) -> Spacing:
    """The median; along an axis coarser than the others, the finer 10th percentile.

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


def _normalization(
    params: PlanParams, cases: CaseList, samples: np.ndarray, paths: Paths
) -> tuple[Normalization, ...]:
    kinds: tuple[Kind, ...] | Literal["auto"] = params.normalization
    if kinds == "auto":
        kinds = tuple(_usual(channel) for channel in cases.channels)
    if len(kinds) != len(cases.channels):
        raise DataError(
            f"{paths.params}, plan.normalization: expected one a channel "
            f"({', '.join(cases.channels)}), found {list(kinds)}; write auto or a list"
        )
    return tuple(
        _normalization_of(kind, channel)
        for kind, channel in zip(kinds, samples.astype(np.float64), strict=True)
    )


def _normalization_of(kind: Kind, samples: np.ndarray) -> Normalization:
    """Figures of the data set where they are used: else a new case changes nothing."""
    low = high = mean = deviation = 0.0
    if kind == "ct":
        low, _, high = np.percentile(samples, PERCENTILES).tolist()
        mean, deviation = float(samples.mean()), float(samples.std())
    return Normalization(
        kind=kind, low=low, high=high, mean=mean, standard_deviation=deviation
    )


def _usual(channel: str) -> Kind:
    return "ct" if channel.upper() == "CT" else "zscore"


def _plan_model(
    params: PlanParams, name: str, model: ModelShape, plan: Plan
) -> PatchPlan:
    spec = NetworkSpec(
        name=model.network,
        in_channels=len(plan.channels),
        out_channels=len(plan.values),
        base_channels=model.base_channels,
        padding=model.padding,
    )
    slice_axis = None
    if spec.dimensions == 2:
        slice_axis = (
            coarsest_axis(plan) if model.slice_axis == "auto" else model.slice_axis
        )
    try:
        patch = plan_patch(
            spec,
            profile=plan.profile,
            slice_axis=slice_axis,
            patch_size=model.patch_size,
            batch_size=model.batch_size,
            memory_gb=params.memory_gb,
            largest_batch=params.largest_batch,
        )
    except DataError as error:
        raise DataError(f"params.yaml, model {name}: {error}") from error
    log.info(
        "plan %s: patches of %s, %d a step, about %.1f GB",
        name,
        " x ".join(map(str, patch.patch_size)),
        patch.batch_size,
        patch.memory_gb,
    )
    return patch


def _triple(values: np.ndarray) -> tuple[int, int, int]:
    i, j, k = (max(1, int(value)) for value in values)
    return i, j, k


def _three(values: Iterable[float]) -> Spacing:
    a, b, c = values
    return float(a), float(b), float(c)


def plan_patch(
    spec: NetworkSpec,
    *,
    profile: DatasetProfile,
    slice_axis: int | None,
    patch_size: Literal["auto", "full"] | Triple,
    batch_size: Literal["auto"] | int,
    memory_gb: float,
    largest_batch: int,
) -> PatchPlan:
    """Choose patch and batch size: the largest patch of which two fit, then the batch.

    The patch starts at the smallest valid size whose output covers the median prepared
    case; its largest axis shrinks step by step until a batch of two fits.

    Args:
        spec: The network.
        profile: What the cases look like, for their prepared shapes.
        slice_axis: Of a 2-D network.
        patch_size: Fixed by the user, or ``auto``; ``full`` covers the largest case.
        batch_size: Fixed by the user, or ``auto``.
        memory_gb: For a training step.
        largest_batch: Bound of an automatic batch size.

    Raises:
        DataError: If a fixed patch is not valid for the network, or nothing fits.
    """
    with torch.device("meta"):
        network = build_network(spec)
    if patch_size == "auto":
        wanted = 2 if batch_size == "auto" else batch_size
        median = profile.median_prepared_shape
        size = _largest(network, median, slice_axis, wanted, memory_gb)
    elif patch_size == "full":
        size = _covering(network, profile.largest_prepared_shape, slice_axis)
    else:
        _check(network, patch_size, slice_axis)
        size = patch_size
    each, fixed = training_memory_gb(network, size, slice_axis)
    fitting = int((memory_gb - fixed) / each)
    batch = max(1, min(fitting, largest_batch)) if batch_size == "auto" else batch_size
    return PatchPlan(
        format_version=1,
        patch_size=size,
        batch_size=batch,
        slice_axis=slice_axis,
        memory_gb=round(fixed + batch * each, 3),
    )


def _check(network: Network, patch_size: Triple, slice_axis: int | None) -> None:
    for axis, size in enumerate(patch_size):
        if axis != slice_axis:
            network.output_size(size)
        elif size != 1:
            raise DataError(
                f"patch_size: expected 1 along the slice axis {axis} of a 2-D network, "
                f"found {list(patch_size)}; set it to 1 or choose another slice_axis"
            )


def _largest(
    network: Network,
    median_shape: Triple,
    slice_axis: int | None,
    batch_size: int,
    memory_gb: float,
) -> Triple:
    outputs = median_shape
    while True:
        size = _covering(network, outputs, slice_axis)
        each, fixed = training_memory_gb(network, size, slice_axis)
        if fixed + batch_size * each <= memory_gb:
            return size
        # The largest axis gives way, to the next smaller valid size.
        axis = size.index(max(size))
        smaller = size[axis] - 2 * network.margin - network.stride
        if smaller < 1:
            raise DataError(
                f"plan.memory_gb: expected room for two of the smallest patches, found "
                f"{memory_gb} GB against {fixed + batch_size * each:.2f} GB; raise it, "
                "or lower base_channels or batch_size"
            )
        i, j, k = (smaller if n == axis else outputs[n] for n in range(3))
        outputs = (i, j, k)


def _covering(network: Network, shape: Triple, slice_axis: int | None) -> Triple:
    """The smallest valid input whose output is at least so large."""
    i, j, k = (
        1 if axis == slice_axis else network.input_size(size)
        for axis, size in enumerate(shape)
    )
    return i, j, k
