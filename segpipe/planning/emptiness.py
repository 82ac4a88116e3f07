"""Emptiness: how far from all that is not empty no structure can be."""

import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from segpipe.dataset.case import Case, CaseList
from segpipe.dataset.case_files import read_case, read_case_label
from segpipe.dataset.casework.digests import DataDigests
from segpipe.dataset.casework.finished import CaseCache
from segpipe.dataset.survey import CaseSurvey
from segpipe.images.region import Emptiness, farthest_voxel, held_voxels, usual
from segpipe.images.volume import ImageStream
from segpipe.project.documents import parse_json, write_json
from segpipe.project.fingerprint import fingerprint
from segpipe.project.paths import Paths
from segpipe.segmenter.plan import Plan
from segpipe.segmenter.preprocessing.classes import classes_of
from segpipe.segmenter.preprocessing.images import case_moments, prepare_image
from segpipe.segmenter.preprocessing.labels import resample_classes
from segpipe.segmenter.preprocessing.normalization import prepared_floors

log = logging.getLogger(__name__)
FARTHEST = 16  # prepared voxels: structures that reach farther into nothing forbid it
SAFETY = 2  # times the distance that was seen, and
SPARE = 4  # prepared voxels more
FARTHEST_FILE = "farthest.json"  # in an entry of the cache


def find_floors(plan: Plan, surveys: list[CaseSurvey]) -> tuple[float, ...]:
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


def recall_farthest(
    paths: Paths,
    cases: CaseList,
    digests: DataDigests,
    plan: Plan,
    floors: tuple[float, ...],
    case: Case,
) -> int | None:
    """What measure_farthest found before; None if it did not."""
    key = _farthest_key(cases, digests, plan, floors, case)
    kept = CaseCache(paths.cache / "plan").read(key)
    if kept is None:
        return None
    found: int = parse_json(Path(FARTHEST_FILE), kept[FARTHEST_FILE])
    return found


def measure_farthest(
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
    found = _farthest(paths, cases, plan, floors, case)
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


def _farthest(
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
