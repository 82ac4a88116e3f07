"""split: choose the test set and the folds by patient."""

import csv
import hashlib
import logging
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from segpipe.dataset.case import Case, read_cases
from segpipe.dataset.split import Fold, Split, split_file
from segpipe.project.errors import DataError
from segpipe.project.params import Params
from segpipe.project.paths import Paths

log = logging.getLogger(__name__)
TEST = "test"
Side = int | str  # the number of the fold that a patient validates, or TEST


class SplitParams(Params):
    """Section split of params.yaml.

    Attributes:
        seed: Seed of the hash that assigns patients to sides.
        test_fraction: Probability that a patient is in the test set.
        n_folds: Number of parts of the other patients; fold n validates on part n and
            trains on the others.
    """

    seed: int
    test_fraction: float
    n_folds: int


def run(params: SplitParams, *, paths: Paths) -> None:
    """Write the split to artifacts/split.

    All cases of a patient are on one side. The side is a hash of the seed and the
    patient's name, so that new patients change no other patient's side; the fractions
    are therefore met on average only. The file data/splits.csv overrides it (columns
    patient and side: ``test`` or the number of a fold). Patients whose images hold the
    same voxels are on the side of the first of them by name.

    Raises:
        DataError: If splits.csv contradicts itself or the cases, or puts copies on
            different sides, or if a side is empty.
    """
    cases = read_cases(paths.artifacts).cases
    of_patient = defaultdict(list)
    for case in cases:
        of_patient[case.patient].append(case.name)
    first = _find_copies(cases)
    fixed = _read_fixed(paths.data / "splits.csv", first, params.n_folds)
    sides = _choose_sides(params, first, fixed)
    empty = _empty_side(sides, params.n_folds)
    if empty is not None:
        raise DataError(
            f"{paths.params}, split: expected patients on every side, found none of "
            f"{len(of_patient)} in {empty}; {_mend(params, first, fixed)}"
        )

    def members(*wanted: Side) -> tuple[str, ...]:
        chosen = [name for name, side in sides.items() if side in wanted]
        return tuple(sorted(case for name in chosen for case in of_patient[name]))

    numbers = range(params.n_folds)
    folds = tuple(
        Fold(training=members(*(m for m in numbers if m != n)), validation=members(n))
        for n in numbers
    )
    document = Split(format_version=1, test=members(TEST), folds=folds)
    document.write(split_file(paths.artifacts))
    log.info(
        "split %d patients, %d cases: %d cases to test, %s to validate",
        len(of_patient),
        len(cases),
        len(members(TEST)),
        " + ".join(str(len(fold.validation)) for fold in folds),
    )


def _share(*words: object) -> float:
    """Hash words to a number from 0 to 1."""
    digest = hashlib.sha256("\0".join(map(str, words)).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _side(params: SplitParams, patient: str) -> Side:
    """The side of a patient by its hash."""
    if _share(params.seed, TEST, patient) < params.test_fraction:
        return TEST
    return int(_share(params.seed, "fold", patient) * params.n_folds)


def _choose_sides(
    params: SplitParams, first: dict[str, str], fixed: dict[str, Side]
) -> dict[str, Side]:
    """The side of each patient: that of the first patient with the same voxels."""
    return {
        patient: fixed[patient] if patient in fixed else _side(params, leader)
        for patient, leader in first.items()
    }


def _find_copies(cases: Sequence[Case]) -> dict[str, str]:
    """Each patient to the first, by name, whose images hold the same voxels.

    Copies may join more than two patients: one has a scan of each of the others.
    """
    first = {case.patient: case.patient for case in cases}
    holders = defaultdict(set)
    for case in cases:
        if case.digest is not None:
            holders[case.digest].add(case.patient)
    for patients in holders.values():
        if len(patients) == 1:
            continue
        log.warning(
            "patients %s have images with the same voxels: all are on one side",
            ", ".join(sorted(patients)),
        )
        leaders = {first[patient] for patient in patients}
        for patient, leader in first.items():
            if leader in leaders:
                first[patient] = min(leaders)
    return first


def _empty_side(sides: dict[str, Side], n_folds: int) -> str | None:
    """The first side without a patient; None if there is no such side."""
    for side in (TEST, *range(n_folds)):
        if side not in sides.values():
            return TEST if side == TEST else f"fold {side}"
    return None


def _mend(params: SplitParams, first: dict[str, str], fixed: dict[str, Side]) -> str:
    """What to change so that no side is empty."""
    different = len(set(first.values()))
    if different == 1:
        return "add other patients"
    if different <= params.n_folds:
        return f"set n_folds to at most {different - 1}, or write data/splits.csv"
    for seed in range(1000):
        tried = params.model_copy(update={"seed": seed})
        sides = _choose_sides(tried, first, fixed)
        if _empty_side(sides, params.n_folds) is None:
            return f"set seed to {seed}, or write data/splits.csv"
    return "lower n_folds, or write data/splits.csv"


def _read_fixed(path: Path, first: dict[str, str], n_folds: int) -> dict[str, Side]:
    """Read the side of each patient in splits.csv; empty if there is no such file.

    Patients with the same voxels as a patient in the file are on its side.

    Raises:
        DataError: If a row names an unknown patient or side, or two rows contradict.
    """
    if not path.is_file():
        return {}
    fixed: dict[str, Side] = {}
    named: dict[str, str] = {}  # first patient with the same voxels to the one named
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file)
        if not {"patient", "side"} <= set(rows.fieldnames or ()):
            raise DataError(
                f"{path}: expected the columns patient and side, found "
                f"{rows.fieldnames}; write for example: patient,side"
            )
        for number, row in enumerate(rows, start=2):
            patient, text = row["patient"], row["side"]
            side: Side = int(text) if text.isdecimal() else text
            leader = first.get(patient, patient)
            other = named.get(leader, patient)
            if patient not in first:
                fault = f"a known patient, found {patient}; is it in patients.csv?"
            elif side != TEST and side not in range(n_folds):
                fault = f"test or a fold below {n_folds}, found {text}"
            elif fixed.get(patient, side) != side:
                fault = f"one side a patient, found {patient} on {side} too; keep one"
            elif fixed.get(other, side) != side:
                fault = (
                    f"{patient} on {fixed[other]}, the side of {other} with the same "
                    f"voxels, found {text}; write one side for both, or move out a copy"
                )
            else:
                fixed[patient] = side
                named[leader] = patient
                continue
            raise DataError(f"{path}, line {number}: expected {fault}")
    sides = {leader: fixed[patient] for leader, patient in named.items()}
    return {name: sides[leader] for name, leader in first.items() if leader in sides}
