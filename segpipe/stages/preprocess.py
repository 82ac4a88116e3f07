"""preprocess: reorient, resample and normalize every case that is trained on."""

import logging
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from segpipe.dataset.case import Case, CaseList, read_cases
from segpipe.dataset.case_files import read_case, read_case_instances, read_case_label
from segpipe.dataset.casework.digests import DataDigests
from segpipe.dataset.casework.finished import CaseCache
from segpipe.dataset.casework.mapping import map_cases
from segpipe.dataset.prepared import CaseIndex, PreparedCase, index_file
from segpipe.dataset.split import read_split
from segpipe.images.volume import ImageStream
from segpipe.project.documents import write_folder
from segpipe.project.errors import DataError
from segpipe.project.fingerprint import fingerprint
from segpipe.project.params import Params
from segpipe.project.paths import Paths
from segpipe.segmenter.plan import Plan, read_plan
from segpipe.segmenter.preprocessing.classes import classes_of
from segpipe.segmenter.preprocessing.images import prepare_image
from segpipe.segmenter.preprocessing.labels import (
    resample_classes,
    resample_instances,
    vanished_slices,
)
from segpipe.segmenter.preprocessing.normalization import measure_image, prepared_region

log = logging.getLogger(__name__)


class PreprocessParams(Params):
    """Section preprocess of params.yaml.

    Attributes:
        workers: Number of processes; each holds one case.
    """

    workers: int


@dataclass(frozen=True)
class _Work:
    """What the preparation of all cases shares; a worker receives it once."""

    cases: CaseList  # without the cases themselves
    plan: Plan
    paths: Paths
    digests: DataDigests
    part: Path

    @property
    def cache(self) -> CaseCache:
        """The prepared cases of this and earlier runs."""
        return CaseCache(self.paths.cache / "preprocess")

    @cached_property
    def used(self) -> dict[str, Any]:
        """What a prepared case depends on of the plan."""
        return self.plan.model_dump(
            mode="json", exclude={"profile", "structures", "emptiness"}
        )


def run(params: PreprocessParams, *, paths: Paths) -> None:
    """Write artifacts/preprocess: a folder a case, and an index of their digests.

    A case is copied from .cache/preprocess if its files, the code and the plan are the
    same as before. Test cases are left out: predict prepares their images itself, and a
    corrected reference of one must not make a training stale.

    Raises:
        DataError: If an annotated slice would be lost, or a file cannot be read.
    """
    cases, plan = read_cases(paths.artifacts), read_plan(paths.artifacts)
    slim = cases.model_copy(update={"cases": ()})
    test = {*read_split(paths.artifacts).test}
    chosen = [case for case in cases.cases if case.name not in test]
    names = [case.name for case in chosen]
    with write_folder(paths.artifacts / "preprocess") as part:
        work = _Work(slim, plan, paths, DataDigests.load(paths), part)
        digests = map_cases(
            partial(_prepare, work),
            chosen,
            workers=params.workers,
            name=lambda case: case.name,
            describe="preprocess",
            known=partial(_copy, work),
            size=lambda case: case.image_bytes,
        )
        index = dict(zip(names, digests, strict=True))
        CaseIndex(format_version=1, cases=index).write(index_file(part))


def _copy(work: _Work, case: Case) -> str | None:
    """Copy a case from the cache; returns its key, or None if it is not known."""
    key = _key(work, case)
    return key if work.cache.fetch(key, work.part / case.name) else None


def _prepare(work: _Work, case: Case) -> str:
    """Prepare one case; returns its key."""
    key, goal = _key(work, case), work.part / case.name
    _write_case(work, case, goal)
    work.cache.store(key, goal)
    return key


def _key(work: _Work, case: Case) -> str:
    """Digest of all that a prepared case depends on: files, plan and code."""
    files = [*case.images, case.label, *([case.instances] if case.instances else [])]
    return fingerprint(
        __name__,
        files=[work.digests.of(file) for file in files],
        missing=case.missing,
        plan=work.used,
        spacing_mm=work.cases.spacing_mm,
    )


def _write_case(work: _Work, case: Case, goal: Path) -> None:
    """Write image, label, instances and grids of one case."""
    data = work.paths.data
    image = read_case(data, work.cases, case)
    original = image.grid
    moments = measure_image(ImageStream.of(image), work.plan)
    prepared, grid = prepare_image(image, work.plan, moments=moments)
    written = PreparedCase(goal)
    written.save_image(prepared)
    region = prepared_region(work.plan, moments)
    if region is not None:
        written.save_region(region)
    del image, prepared
    orientation = original.to_canonical
    label = read_case_label(data, work.cases, case)
    drawn = orientation.apply(classes_of(label.array, work.plan))
    classes = resample_classes(drawn, grid.shape)
    lost = vanished_slices(drawn, classes)
    if lost:
        places = ", ".join(f"{'ijk'[axis]} = {index}" for axis, index in lost[:8])
        raise DataError(
            f"{data / case.label}: expected every annotated slice to be kept, found "
            f"that spacing {work.plan.spacing} drops canonical slices {places}; "
            "set plan.spacing no coarser than the annotation"
        )
    for index in np.setdiff1d(np.unique(drawn), np.unique(classes)):
        log.warning(
            "%s: structure %s vanishes at spacing %s",
            case.name,
            work.plan.legend.classes[int(index)],
            work.plan.spacing,
        )
    written.save_label(classes)
    instances = read_case_instances(data, work.cases, case)
    if instances is not None:
        ids = orientation.apply(instances.array).astype(np.int32)
        written.save_instances(resample_instances(ids, drawn, classes))
    written.save_grids(original=original, prepared=grid)
