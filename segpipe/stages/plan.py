"""plan: the fingerprint of the non-test cases, and what follows from it."""

import json
import logging
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import numpy as np

from segpipe.cache import CaseCache
from segpipe.case import Case, CaseList, read_cases
from segpipe.documents import write_json
from segpipe.errors import DataError
from segpipe.fingerprint import digest_file, fingerprint
from segpipe.grid import Grid
from segpipe.io.formats import read_case, read_case_label
from segpipe.network import NetworkName, NetworkSpec
from segpipe.parallel import map_cases
from segpipe.params import Params
from segpipe.patches import plan_patch
from segpipe.paths import Paths
from segpipe.plan import Fingerprint, Normalization, PatchPlan, Plan, read_split

log = logging.getLogger(__name__)
Triple = tuple[float, float, float]
Kind = Literal["zscore", "ct", "none"]
SAMPLES = 10_000  # voxels a case that stand for its intensities
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

    spacing: Literal["auto"] | Triple
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


@dataclass(frozen=True, eq=False)
class _Looks:
    """What one case looks like, on its canonical axes."""

    grid: Grid
    samples: np.ndarray  # channel n: intensities of sampled foreground voxels
    counts: np.ndarray  # annotated voxels of each class


def run(params: PlanParams, *, models: Mapping[str, ModelShape], paths: Paths) -> None:
    """Write artifacts/plan/plan.json and patches/MODEL.json; test cases are not read.

    Raises:
        DataError: If a fixed value does not fit the data or a network.
    """
    cases = read_cases(paths.artifacts)
    test = set(read_split(paths.artifacts).test)
    looks = map_cases(
        partial(_look, paths, cases.model_copy(update={"cases": ()})),
        [case for case in cases.cases if case.name not in test],
        workers=params.workers,
        name=lambda case: case.name,
        describe="plan",
    )
    plan = _build_plan(params, cases, looks, paths)
    part = paths.artifacts / ".plan.part"
    shutil.rmtree(part, ignore_errors=True)
    plan.write(part / "plan.json")
    for name, model in models.items():
        _plan_model(params, name, model, plan).write(part / "patches" / f"{name}.json")
    goal = paths.artifacts / "plan"
    shutil.rmtree(goal, ignore_errors=True)
    part.rename(goal)


def _look(paths: Paths, cases: CaseList, case: Case) -> _Looks:
    """Look at a case, unless the same files were looked at before."""
    key = fingerprint(
        __name__,
        files=[digest_file(paths.data / file) for file in (*case.images, case.label)],
        values=[*cases.values, cases.ignore],
        spacing_mm=cases.spacing_mm,
    )
    cache = CaseCache(paths.cache / "plan")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if not cache.fetch(key, folder):
            looks = _look_at(paths.data, cases, case)
            np.save(folder / "samples.npy", looks.samples)
            np.save(folder / "counts.npy", looks.counts)
            write_json(folder / "grid.json", looks.grid.to_json())
            cache.store(key, folder)
        grid = Grid.from_json(json.loads((folder / "grid.json").read_text()))
        return _Looks(
            grid, np.load(folder / "samples.npy"), np.load(folder / "counts.npy")
        )


def _look_at(data: Path, cases: CaseList, case: Case) -> _Looks:
    image = read_case(data, cases, case)
    label = read_case_label(data, cases, case)
    values = label.array.reshape(-1)
    foreground = np.flatnonzero((values != 0) & (values != cases.ignore))
    if len(foreground) == 0:
        foreground = np.arange(values.size)
    rng = np.random.default_rng(len(foreground))
    chosen = rng.choice(foreground, min(SAMPLES, len(foreground)), replace=False)
    grid = image.grid.reoriented(image.grid.to_canonical)
    samples = image.array.reshape(len(image.array), -1)[:, np.sort(chosen)]
    counts = np.array([np.count_nonzero(values == value) for value in cases.values])
    return _Looks(grid, samples, counts)


def _build_plan(
    params: PlanParams, cases: CaseList, looks: list[_Looks], paths: Paths
) -> Plan:
    samples = np.concatenate([look.samples for look in looks], axis=1)
    spacing = params.spacing
    if spacing == "auto":
        spacing = _choose_spacing(np.array([look.grid.spacing for look in looks]))
    shapes = np.array([look.grid.shape for look in looks])
    prepared = np.array([look.grid.shape_at(spacing) for look in looks])
    counts = np.sum([look.counts for look in looks], axis=0)
    spacings = np.array([look.grid.spacing for look in looks])
    fingerprint = Fingerprint(
        cases=len(looks),
        median_shape=_triple(np.median(shapes, axis=0).round().astype(int)),
        median_prepared_shape=_triple(np.median(prepared, axis=0).round().astype(int)),
        largest_prepared_shape=_triple(np.max(prepared, axis=0)),
        spacings=tuple(
            _three(float(f(axis)) for f in (np.min, np.median, np.max))
            for axis in spacings.T
        ),
        intensities=tuple(
            _three(np.percentile(channel, [0.5, 50, 99.5]).tolist())
            for channel in samples
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
        fingerprint=fingerprint,
    )
    log.info(
        "plan: spacing %s %s, median prepared shape %s",
        " x ".join(f"{value:.3g}" for value in spacing),
        cases.unit,
        " x ".join(map(str, fingerprint.median_prepared_shape)),
    )
    return plan


def _choose_spacing(spacings: np.ndarray) -> Triple:
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
        low, high = np.percentile(samples, [0.5, 99.5]).tolist()
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
            _slice_axis(plan) if model.slice_axis == "auto" else model.slice_axis
        )
    try:
        patch = plan_patch(
            spec,
            fingerprint=plan.fingerprint,
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


def _slice_axis(plan: Plan) -> int:
    """The axis of the largest spacing; the last one where several are alike."""
    if plan.dimensions == 2:
        return 2
    return max(range(3), key=lambda axis: (round(plan.spacing[axis], 6), axis))


def _triple(values: np.ndarray) -> tuple[int, int, int]:
    i, j, k = (max(1, int(value)) for value in values)
    return i, j, k


def _three(values: Iterable[float]) -> Triple:
    a, b, c = values
    return float(a), float(b), float(c)
