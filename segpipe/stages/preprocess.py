"""preprocess: reorient, resample and normalize every case that is trained on."""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segpipe.dataset.case import Case, CaseList, read_cases
from segpipe.dataset.case_files import read_case, read_case_instances, read_case_label
from segpipe.dataset.casework import CaseCache, map_cases
from segpipe.dataset.prepared import CaseIndex, PreparedCase, index_file
from segpipe.dataset.split import read_split
from segpipe.images.volume import ImageStream
from segpipe.project.documents import write_folder
from segpipe.project.errors import DataError
from segpipe.project.fingerprint import digest_file, fingerprint
from segpipe.project.params import Params
from segpipe.project.paths import Paths
from segpipe.segmenter.plan import Plan, read_plan
from segpipe.segmenter.preprocessing import (
    classes_of,
    measure_image,
    prepare_image,
    prepared_region,
    resample_classes,
    resample_instances,
    vanished_slices,
)

log = logging.getLogger(__name__)


class PreprocessParams(Params):
    """Section preprocess of params.yaml.

    Attributes:
        workers: Number of processes; each holds one case.
    """

    workers: int


@dataclass(frozen=True)
class _Job:
    """One case and all that its preparation needs, picklable for a worker."""

    case: Case
    cases: CaseList
    plan: Plan
    paths: Paths
    goal: Path


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
        digests = map_cases(
            _prepare,
            [_Job(case, slim, plan, paths, part / case.name) for case in chosen],
            workers=params.workers,
            name=lambda job: job.case.name,
            describe="preprocess",
        )
        index = dict(zip(names, digests, strict=True))
        CaseIndex(format_version=1, cases=index).write(index_file(part))


def _prepare(job: _Job) -> str:
    """Prepare one case, or copy it from the cache; returns its key."""
    key = _key(job)
    cache = CaseCache(job.paths.cache / "preprocess")
    if not cache.fetch(key, job.goal):
        _write_case(job)
        cache.store(key, job.goal)
    return key


def _key(job: _Job) -> str:
    """Digest of all that a prepared case depends on: files, plan and code."""
    case, data = job.case, job.paths.data
    files = [*case.images, case.label, *([case.instances] if case.instances else [])]
    return fingerprint(
        __name__,
        files=[digest_file(data / file) for file in files],
        missing=case.missing,
        plan=job.plan.model_dump(mode="json", exclude={"profile", "structures"}),
        spacing_mm=job.cases.spacing_mm,
    )


def _write_case(job: _Job) -> None:
    """Write image, label, instances and grids of one case."""
    data, case = job.paths.data, job.case
    image = read_case(data, job.cases, case)
    original = image.grid
    moments = measure_image(ImageStream.of(image), job.plan)
    prepared, grid = prepare_image(image, job.plan, moments=moments)
    written = PreparedCase(job.goal)
    written.save_image(prepared)
    region = prepared_region(job.plan, moments)
    if region is not None:
        written.save_region(region)
    del image, prepared
    orientation = original.to_canonical
    label = read_case_label(data, job.cases, case)
    drawn = orientation.apply(classes_of(label.array, job.plan))
    classes = resample_classes(drawn, grid.shape)
    lost = vanished_slices(drawn, classes)
    if lost:
        places = ", ".join(f"{'ijk'[axis]} = {index}" for axis, index in lost[:8])
        raise DataError(
            f"{data / case.label}: expected every annotated slice to be kept, found "
            f"that spacing {job.plan.spacing} drops canonical slices {places}; "
            "set plan.spacing no coarser than the annotation"
        )
    for index in np.setdiff1d(np.unique(drawn), np.unique(classes)):
        log.warning(
            "%s: structure %s vanishes at spacing %s",
            case.name,
            job.plan.legend.classes[int(index)],
            job.plan.spacing,
        )
    written.save_label(classes)
    instances = read_case_instances(data, job.cases, case)
    if instances is not None:
        ids = orientation.apply(instances.array).astype(np.int32)
        written.save_instances(resample_instances(ids, drawn, classes))
    written.save_grids(original=original, prepared=grid)
