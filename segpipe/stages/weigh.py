"""weigh: compute the border term of the weight and the class counts of every case."""

from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Int16
from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from segpipe.dataset.casework.finished import CaseCache
from segpipe.dataset.casework.mapping import map_cases
from segpipe.dataset.prepared import (
    CaseIndex,
    ClassCounts,
    PreparedCase,
    WeighedCase,
    counts_file,
    has_known_label,
    index_file,
    open_known_label,
    prepared_case,
    separation_file,
)
from segpipe.images.borders import (
    Dimensions,
    Separation,
    border_weights,
)
from segpipe.images.instances import distance_levels, find_targets, lines_between
from segpipe.project.documents import write_folder
from segpipe.project.fingerprint import fingerprint
from segpipe.project.params import Params, is_off
from segpipe.project.paths import Paths
from segpipe.segmenter.plan import Plan, coarsest_axis, read_plan


class WeighParams(Params):
    """Section weigh of params.yaml: w0 * exp(-(d1 + d2)^2 / (2 sigma^2)).

    Attributes:
        w0: Weight where two instances meet; 10 in the paper.
        sigma: Distance over which the weight falls, in the unit; about 5 pixels in the
            paper.
        unit: Unit of distances: ``px`` (prepared voxels) or ``mm``.
        slice_axis: Axis across which the slices of 2-D networks are taken; ``auto`` is
            the coarsest.
        domain: Weigh the ``background`` between instances, as in the paper's figure, or
            ``all`` voxels, as in its formula.
        separate_touching: Train a line of background between touching instances.
        levels: Find how deep each voxel lies in its instance, for models that learn
            the distance to its border; with ``separate_touching``.
        workers: Number of processes; each holds one case.
    """

    w0: float
    sigma: float
    unit: Literal["px", "mm"]
    slice_axis: Literal["auto", 0, 1, 2]
    domain: Literal["background", "all"]
    separate_touching: bool
    # Never in the params of projects that were written before it.
    levels: bool = Field(False, exclude_if=is_off)
    workers: int

    @field_validator("levels")
    @classmethod
    def _lines_say_the_slices(cls, levels: bool, info: Any) -> bool:
        """Refuse levels without lines, whose record says in which slices both lie."""
        if levels and not info.data.get("separate_touching", True):
            text = (
                "expected separate_touching: true beside levels: true; set it to true"
            )
            raise PydanticCustomError("levels", "{text}", {"text": text})
        return levels


@dataclass(frozen=True)
class _Item:
    """A case, and the digests of what preprocess and annotate wrote for it."""

    name: str
    prepared: str
    annotated: str


@dataclass(frozen=True)
class _Work:
    """What the weighing of all cases shares; a worker receives it once."""

    params: WeighParams
    plan: Plan
    paths: Paths
    part: Path

    @property
    def cache(self) -> CaseCache:
        """The weighed cases of this and earlier runs."""
        return CaseCache(self.paths.cache / "weigh")

    @cached_property
    def used(self) -> dict[str, Any]:
        """What a weighed case depends on of the params."""
        return self.params.model_dump(mode="json", exclude={"workers"})


# Key of a case, its class counts, and those without hidden voxels, if there are any.
_Result = tuple[str, tuple[int, ...], tuple[int, ...] | None]


def run(params: WeighParams, *, paths: Paths) -> None:
    """Write artifacts/weigh: a folder a case, the class counts and an index.

    Volumes have two maps: within slices for 2-D networks, which see nothing else, and
    in the volume for 3-D networks. If annotate hides voxels of a case, it gets the same
    maps and counts again, of the other voxels alone: what models with
    ``sparse_annotation`` may know. The maps do not hold the class weight w_c: train
    computes it from the counts of its fold's training cases.

    Source:
        Ronneberger 2015, arXiv:1505.04597, section 3, equation 2.
    """
    plan = read_plan(paths.artifacts)
    index = CaseIndex.read(index_file(paths.artifacts / "preprocess")).cases
    annotated = CaseIndex.read(index_file(paths.artifacts / "annotate")).cases
    with write_folder(paths.artifacts / "weigh") as part:
        work = _Work(params, plan, paths, part)
        results = map_cases(
            partial(_weigh, work),
            [_Item(name, digest, annotated[name]) for name, digest in index.items()],
            workers=params.workers,
            name=lambda item: item.name,
            describe="weigh",
            known=partial(_copy, work),
            size=lambda item: prepared_case(paths.artifacts, item.name).image_bytes,
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
        # The components of structures never touch: without ids there is no line.
        cases = [prepared_case(paths.artifacts, name) for name in index]
        drawn = any(case.instances is not None for case in cases)
        for dimensions in _dimensions_of(plan):
            separation = build_separation(params, plan, dimensions)
            if separation is not None and drawn:
                separation.write(separation_file(part, dimensions))


def _dimensions_of(plan: Plan) -> tuple[Dimensions, ...]:
    """The dimensions of the networks that the data allow."""
    return (2,) if plan.dimensions == 2 else (2, 3)


def build_separation(
    params: WeighParams, plan: Plan, dimensions: Dimensions
) -> Separation | None:
    """How touching instances are separated; None if they are not.

    Args:
        params: The section weigh.
        plan: The plan of the prepared data.
        dimensions: Dimensions of the network.
    """
    if not params.separate_touching:
        return None
    return Separation(
        dimensions=dimensions,
        slice_axis=_slice_axis(params, plan),
        spacing=plan.spacing,
    )


def _slice_axis(params: WeighParams, plan: Plan) -> int:
    """The axis across which slices are taken."""
    return coarsest_axis(plan) if params.slice_axis == "auto" else params.slice_axis


def _key(work: _Work, item: _Item, *, hidden: bool) -> str:
    """Digest of all that a weighed case depends on."""
    return fingerprint(
        __name__,
        prepared=item.prepared,
        annotated=item.annotated if hidden else None,
        params=work.used,
        dimensions=_dimensions_of(work.plan),
    )


def _copy(work: _Work, item: _Item) -> _Result | None:
    """Copy a case from the cache; None if it is not known."""
    hidden = has_known_label(work.paths.artifacts, item.name)
    key, weighed = _key(work, item, hidden=hidden), WeighedCase(work.part / item.name)
    if not work.cache.fetch(key, weighed.folder):
        return None
    return _result(key, weighed, hidden=hidden)


def _weigh(work: _Work, item: _Item) -> _Result:
    """Weigh one case."""
    artifacts, weighed = work.paths.artifacts, WeighedCase(work.part / item.name)
    prepared = prepared_case(artifacts, item.name)
    known = open_known_label(artifacts, item.name)
    hidden = known is not None
    _write_case(work, prepared, np.array(prepared.label), weighed)
    if known is not None:
        _write_case(work, prepared, np.array(known), weighed.known)
    key = _key(work, item, hidden=hidden)
    work.cache.store(key, weighed.folder)
    return _result(key, weighed, hidden=hidden)


def _result(key: str, weighed: WeighedCase, *, hidden: bool) -> _Result:
    without = tuple(weighed.known.counts.tolist()) if hidden else None
    return key, tuple(weighed.counts.tolist()), without


def _write_case(
    work: _Work,
    prepared: PreparedCase,
    label: Int16[np.ndarray, "i j k"],
    weighed: WeighedCase,
) -> None:
    """Write the weight maps and the class counts of one label."""
    drawn = prepared.instances
    instances = find_targets(label, None if drawn is None else np.array(drawn))
    for dimensions in _dimensions_of(work.plan):
        separation = build_separation(work.params, work.plan, dimensions)
        lines, apart = None, instances
        if separation is not None:
            lines = lines_between(label, instances, separation)
            apart = np.where(lines, 0, instances)
        border = border_weights(
            apart,
            w0=work.params.w0,
            sigma=work.params.sigma,
            spacing=work.plan.spacing if work.params.unit == "mm" else (1.0, 1.0, 1.0),
            dimensions=dimensions,
            domain=work.params.domain,
            slice_axis=_slice_axis(work.params, work.plan),
        )
        border[label < 0] = 0
        levels = None
        if work.params.levels:
            levels = distance_levels(
                label,
                instances,
                spacing=work.plan.spacing,
                dimensions=dimensions,
                slice_axis=_slice_axis(work.params, work.plan),
            )
        weighed.save_maps(dimensions, border=border, separation=lines, levels=levels)
    counts = np.bincount(label[label >= 0], minlength=len(work.plan.values))
    weighed.save_counts(counts)
