"""Kept sides: those of split.lock, which patients keep."""

import logging
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from segpipe.dataset.case import Case
from segpipe.dataset.split import (
    SplitLock,
    lock_file,
    pseudonym,
    read_lock,
    read_split,
    split_file,
)
from segpipe.planning.sides.assignment import (
    TEST,
    Side,
    SplitParams,
    find_empty_side,
    hashed_share,
)
from segpipe.project.errors import DataError
from segpipe.project.origin.commit import locked_stage
from segpipe.project.paths import Paths

log = logging.getLogger(__name__)


def keep_sides(
    params: SplitParams, kept: dict[str, Side], sides: dict[str, Side], file: Path
) -> None:
    """Write split.lock; patients that left keep their side for their return."""
    now = {pseudonym(patient): side for patient, side in sides.items()}
    new = len(now.keys() - kept.keys())
    if new:
        log.info("new in %s: %d patients; commit the file to git", file, new)
    SplitLock(
        format_version=1,
        **params.model_dump(exclude={"groups"}),
        sides=dict(sorted((kept | now).items())),
    ).write(file)


def read_kept_sides(
    params: SplitParams, first: dict[str, str], cases: Sequence[Case], paths: Paths
) -> dict[str, Side]:
    """The sides that patients had before, by pseudonym; none in a new project.

    In a project from before split.lock, they are those of artifacts/split, which DVC
    empties before the stage runs: there they are hashed as they were then.

    Raises:
        DataError: If split.lock is damaged, or lost although dvc.lock lists it.
    """
    file, stage = lock_file(paths.root), locked_stage("split", paths.root)
    if file.is_file():
        return _still_valid(params, read_lock(file), file)
    if any(out["path"] == file.name for out in stage.get("outs", [])):
        section = stage.get("params", {}).get(paths.params.name, {}).get("split", {})
        if section.get("seed", params.seed) == params.seed:
            raise DataError(
                f"{file}: expected the sides that patients keep, as dvc.lock lists "
                "them, found no file; restore it (it belongs in git), or set another "
                "split.seed, which assigns all patients anew"
            )
        return {}
    numbers = range(params.n_folds)
    if split_file(paths.artifacts).is_file():
        before = read_split(paths.artifacts)
        side: dict[str, Side] = dict.fromkeys(before.test, TEST)
        for number, fold in zip(numbers, before.folds, strict=False):
            side |= dict.fromkeys(fold.validation, number)
        named = [case for case in cases if case.name in side]
        return {pseudonym(case.patient): side[case.name] for case in named}
    if not stage:
        return {}
    sides = {patient: _hashed_side(params, leader) for patient, leader in first.items()}
    if find_empty_side(sides, params) is not None:
        return {}
    return {pseudonym(patient): side for patient, side in sides.items()}


def _still_valid(params: SplitParams, lock: SplitLock, file: Path) -> dict[str, Side]:
    """The sides of a lock that hold with these params; says which do not."""
    if lock.seed != params.seed:
        log.warning(
            "%s has the seed %d, params.yaml %d: all patients are assigned anew, and "
            "patients who were in training may be tested",
            file,
            lock.seed,
            params.seed,
        )
        return {}
    same = (lock.test_fraction, lock.n_folds) == (params.test_fraction, params.n_folds)
    if not same:
        log.warning(
            "%s was written for another test_fraction or n_folds: test patients stay, "
            "even if they are now too many, and all others are assigned anew; another "
            "split.seed assigns all anew",
            file,
        )
    valid = {TEST, *range(params.n_folds if same else 0)}
    return {patient: side for patient, side in lock.sides.items() if side in valid}


def _hashed_side(params: SplitParams, patient: str) -> Side:
    """The side of a patient as it was chosen before there was split.lock."""
    if hashed_share(params.seed, TEST, patient) < params.test_fraction:
        return TEST
    return int(hashed_share(params.seed, "fold", patient) * params.n_folds)


def find_known_sides(
    first: dict[str, str], fixed: dict[str, Side], kept: dict[str, Side]
) -> dict[str, Side]:
    """The given or kept side of each first patient with the same voxels.

    Copies that were found after they had different sides join the test set if one was
    in it, or else the first of them, by name.
    """
    known: dict[str, list[Side]] = defaultdict(list)
    for patient, leader in sorted(first.items()):
        if (side := kept.get(pseudonym(patient))) is not None:
            known[leader].append(side)
    sides = {
        leader: TEST if TEST in found else found[0] for leader, found in known.items()
    }
    return sides | {first[patient]: side for patient, side in fixed.items()}
