"""weigh: compute the border term of the weight and the class counts of every case."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Bool, Int16, Int32

from segpipe.dataset.casework import CaseCache, map_cases
from segpipe.dataset.prepared import (
    CaseIndex,
    ClassCounts,
    WeighedCase,
    counts_file,
    index_file,
    open_known_label,
    prepared_case,
    separation_file,
)
from segpipe.images.borders import Separation, border_weights, separate_touching
from segpipe.images.instances import instances_of_structures
from segpipe.project.documents import write_folder
from segpipe.project.fingerprint import fingerprint
from segpipe.project.params import Params
from segpipe.project.paths import Paths
from segpipe.segmenter.plan import Plan, coarsest_axis, read_plan

log = logging.getLogger(__name__)


class WeighParams(Params):
    """Section weigh of params.yaml: w0 * exp(-(d1 + d2)^2 / (2 sigma^2)).

    Attributes:
        w0: Weight where two instances meet; 10 in the paper.
        sigma: Distance over which the weight falls, in the unit; about 5 pixels in the
            paper.
        unit: Unit of distances: ``px`` (prepared voxels) or ``mm``.
        dimensions: 3, or 2 for slice by slice.
        slice_axis: Axis across which slices are taken in 2-D; ``auto`` is the coarsest.
        domain: Weigh the ``background`` between instances, as in the paper's figure, or
            ``all`` voxels, as in its formula.
        separate_touching: Train a line of background between touching instances.
        workers: Number of processes; each holds one case.
    """

    w0: float
    sigma: float
    unit: Literal["px", "mm"]
    dimensions: Literal[2, 3]
    slice_axis: Literal["auto", 0, 1, 2]
    domain: Literal["background", "all"]
    separate_touching: bool
    workers: int


@dataclass(frozen=True)
class _Job:
    """One case and all that weighing it needs, picklable for a worker."""

    name: str
    digest: str
    annotated: str  # digest of what annotate wrote
    params: WeighParams
    plan: Plan
    paths: Paths
    goal: Path


def run(params: WeighParams, *, paths: Paths) -> None:
    """Write artifacts/weigh: a folder a case, the class counts and an index.

    If annotate hides voxels of a case, it gets a second map and second counts, of the
    other voxels alone: what models with ``sparse_annotation`` may know.

    The map does not hold the class weight w_c: train computes it from the counts of its
    fold's training cases.

    Source:
        Ronneberger 2015, arXiv:1505.04597, section 3, equation 2.
    """
    plan = read_plan(paths.artifacts)
    separation = build_separation(params, plan)
    if separation is not None and separation.dimensions < plan.dimensions:
        log.warning(
            "weigh.dimensions is 2 and the data are volumes: lines within slices do "
            "not separate instances that touch across slices; set weigh.dimensions: 3"
        )
    index = CaseIndex.read(index_file(paths.artifacts / "preprocess")).cases
    annotated = CaseIndex.read(index_file(paths.artifacts / "annotate")).cases
    with write_folder(paths.artifacts / "weigh") as part:
        results = map_cases(
            _weigh,
            [
                _Job(name, digest, annotated[name], params, plan, paths, part / name)
                for name, digest in index.items()
            ],
            workers=params.workers,
            name=lambda job: job.name,
            describe="weigh",
        )
        keys, counts, known = zip(*results, strict=True)
        ClassCounts(
            format_version=1,
            counts=dict(zip(index, counts, strict=True)),
            known={
                name: found
                for name, found in zip(index, known, strict=True)
                if found is not None
            },
        ).write(counts_file(part))
        CaseIndex(format_version=1, cases=dict(zip(index, keys, strict=True))).write(
            index_file(part)
        )
        if separation is not None:
            separation.write(separation_file(part))


def build_separation(params: WeighParams, plan: Plan) -> Separation | None:
    """How touching instances are separated; None if they are not."""
    if not params.separate_touching:
        return None
    axis = coarsest_axis(plan) if params.slice_axis == "auto" else params.slice_axis
    return Separation(
        dimensions=params.dimensions, slice_axis=axis, spacing=plan.spacing
    )


def _weigh(job: _Job) -> tuple[str, tuple[int, ...], tuple[int, ...] | None]:
    """Weigh one case, or copy it from the cache.

    Returns:
        Its key and class counts, and the counts without hidden voxels, if there are
        any.
    """
    known = open_known_label(job.paths.artifacts, job.name)
    key = fingerprint(
        __name__,
        prepared=job.digest,
        annotated=None if known is None else job.annotated,
        params=job.params.model_dump(mode="json", exclude={"workers"}),
    )
    cache = CaseCache(job.paths.cache / "weigh")
    weighed = WeighedCase(job.goal)
    if not cache.fetch(key, job.goal):
        label = prepared_case(job.paths.artifacts, job.name).label
        _write_case(job, np.array(label), weighed)
        if known is not None:
            _write_case(job, np.array(known), weighed.known)
        cache.store(key, job.goal)
    hidden = None if known is None else tuple(weighed.known.counts.tolist())
    return key, tuple(weighed.counts.tolist()), hidden


def _write_case(
    job: _Job, label: Int16[np.ndarray, "i j k"], weighed: WeighedCase
) -> None:
    """Write the weight map and the class counts of one label."""
    drawn = prepared_case(job.paths.artifacts, job.name).instances
    instances = find_targets(label, None if drawn is None else np.array(drawn))
    separation, lines = build_separation(job.params, job.plan), None
    if separation is not None:
        lines = lines_between(instances, separation)
        instances = np.where(lines, 0, instances)
    wanted = job.params.slice_axis
    axis = coarsest_axis(job.plan) if wanted == "auto" else wanted
    border = border_weights(
        instances,
        w0=job.params.w0,
        sigma=job.params.sigma,
        spacing=job.plan.spacing if job.params.unit == "mm" else (1.0, 1.0, 1.0),
        dimensions=job.params.dimensions,
        domain=job.params.domain,
        slice_axis=axis,
    )
    border[label < 0] = 0
    counts = np.bincount(label[label >= 0], minlength=len(job.plan.values))
    weighed.save(border=border, separation=lines, counts=counts)


def find_targets(
    label: Int16[np.ndarray, "i j k"], drawn: Int32[np.ndarray, "i j k"] | None
) -> Int32[np.ndarray, "i j k"]:
    """The instances to learn: the drawn ones, or the components of each structure.

    Args:
        label: Class indices; negative where not annotated, and there is no instance.
        drawn: Instance ids on the same grid, if there are any.
    """
    if drawn is None:
        return instances_of_structures(label, ignore=-1)
    return np.where(label >= 0, drawn, 0)


def lines_between(
    instances: Int32[np.ndarray, "i j k"], separation: Separation
) -> Bool[np.ndarray, "i j k"]:
    """The voxels between touching instances that are learned as background."""
    kept = separate_touching(
        instances,
        dimensions=separation.dimensions,
        slice_axis=separation.slice_axis,
    )
    return np.asarray((kept == 0) & (instances != 0))
