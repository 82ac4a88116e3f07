"""split: choose the test set and the folds by patient."""

import csv
import hashlib
import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal, cast

from segpipe.dataset.case import Case, read_cases
from segpipe.dataset.split import Fold, Split, SplitLock, lock_file, split_file
from segpipe.project.commit import was_split
from segpipe.project.errors import DataError
from segpipe.project.params import Params
from segpipe.project.paths import Paths

log = logging.getLogger(__name__)
TEST: Literal["test"] = "test"
FEWEST = 3  # patients: one to test, one to validate, one to train
Side = Literal["test"] | int  # the number of the fold that a patient validates, or TEST


class SplitParams(Params):
    """Section split of params.yaml.

    Attributes:
        seed: Seed of the order in which patients are assigned to sides.
        test_fraction: Share of the patients that are in the test set.
        n_folds: Number of parts of the other patients; fold n validates on part n and
            trains on the others.
    """

    seed: int
    test_fraction: float
    n_folds: int


def run(params: SplitParams, *, paths: Paths) -> None:
    """Write the split to artifacts/split, and the side of each patient to split.lock.

    All cases of a patient are on one side. Patients in split.lock keep their side, as
    long as the params are those of the file. New ones are assigned so that the sizes of
    the sides are those of the params, and that each site (column ``site`` of
    patients.csv) is spread over all sides. Sides that data/splits.csv (columns patient
    and side: ``test`` or the number of a fold) or a column ``side`` of patients.csv
    gives come before all others. Patients whose images hold the same voxels are on one
    side.

    Raises:
        DataError: If the given sides contradict each other or the cases, or put copies
            on different sides, or if a side is empty.
    """
    cases = read_cases(paths.artifacts).cases
    of_patient = defaultdict(list)
    for case in cases:
        of_patient[case.patient].append(case.name)
    first = _find_copies(cases)
    given = [*_in_patients(paths.data, cases), *_in_splits(paths.data)]
    fixed = _check_given(given, first, params.n_folds)
    kept = _kept_sides(params, first, paths)
    sites = {case.patient: case.attributes.get("site", "") for case in cases}
    sides = _assign(params, first, fixed, kept, sites)
    empty = _empty_side(sides, params.n_folds)
    if empty is not None:
        raise DataError(
            f"{paths.params}, split: expected patients on every side, found none of "
            f"{len(of_patient)} in {empty}; {_mend(params, first)}"
        )

    def members(*wanted: Side) -> tuple[str, ...]:
        chosen = [name for name, side in sides.items() if side in wanted]
        return tuple(sorted(case for name in chosen for case in of_patient[name]))

    numbers = range(params.n_folds)
    folds = tuple(
        Fold(training=members(*(m for m in numbers if m != n)), validation=members(n))
        for n in numbers
    )
    # Patients that left keep their side, too, for the day when they are back.
    SplitLock(
        format_version=1,
        **params.model_dump(),
        sides=dict(sorted((kept | sides).items())),
    ).write(lock_file(paths.root))
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


def _kept_sides(
    params: SplitParams, first: dict[str, str], paths: Paths
) -> dict[str, Side]:
    """The sides that patients had before; none for a new project or other params.

    A project that was split before there was split.lock keeps its split: DVC has
    emptied artifacts/split, and the sides are hashed again as they were then.
    """
    file = lock_file(paths.root)
    if file.is_file():
        lock = SplitLock.read(file)
        if lock.model_dump(include=set(type(params).model_fields)) == (
            params.model_dump()
        ):
            return dict(lock.sides)
        log.warning(
            "%s was written for other values of the section split: all patients are "
            "assigned anew",
            file,
        )
        return {}
    if not was_split(paths.root) and not split_file(paths.artifacts).is_file():
        return {}
    sides = {patient: _hashed_side(params, leader) for patient, leader in first.items()}
    return sides if _empty_side(sides, params.n_folds) is None else {}


def _hashed_side(params: SplitParams, patient: str) -> Side:
    """The side of a patient as it was chosen before there was split.lock."""
    if _share(params.seed, TEST, patient) < params.test_fraction:
        return TEST
    return int(_share(params.seed, "fold", patient) * params.n_folds)


def _assign(
    params: SplitParams,
    first: dict[str, str],
    fixed: dict[str, Side],
    kept: dict[str, Side],
    sites: dict[str, str],
) -> dict[str, Side]:
    """The side of each patient: given, kept, or the one that lacks patients most.

    Patients of a site follow each other, in a random order, so that every side gets its
    share of each site. An empty side comes first, then the one with the smallest number
    of patients for its share, as seats are given to parties.

    Source:
        Webster's method (Sainte-Laguë): sides of the same share differ by one at most.
    """
    groups = defaultdict(list)
    for patient, leader in first.items():
        groups[leader].append(patient)
    sides: dict[str, Side] = {}
    for leader, patients in groups.items():
        known = [kept[name] for name in sorted(patients) if name in kept]
        if patients[0] in fixed:
            sides[leader] = fixed[patients[0]]
        elif known:
            sides[leader] = known[0]
    folds = (1 - params.test_fraction) / params.n_folds
    shares: dict[Side, float] = {TEST: params.test_fraction}
    shares |= dict.fromkeys(range(params.n_folds), folds)
    counts = Counter(sides.values())

    def order(leader: str) -> tuple[str, float]:
        return sites[leader], _share(params.seed, "order", leader)

    for leader in sorted(groups.keys() - sides.keys(), key=order):
        side = min(
            shares,
            key=lambda side: (
                counts[side] > 0,
                (counts[side] + 0.5) / max(shares[side], 1e-9),
            ),
        )
        sides[leader] = side
        counts[side] += 1
    return {patient: sides[leader] for patient, leader in first.items()}


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


def _mend(params: SplitParams, first: dict[str, str]) -> str:
    """What to change so that no side is empty."""
    different = len(set(first.values()))
    if different < FEWEST:
        return (
            f"add cases of {FEWEST - different} other patients: one to test, one to "
            "validate and one to train are the fewest"
        )
    if different <= params.n_folds:
        return f"set split.n_folds to {different - 1}"
    return "give fewer patients a side in data/splits.csv or patients.csv"


Given = tuple[str, str, str]  # where a side is given, the patient and the side


def _in_patients(data: Path, cases: Sequence[Case]) -> Iterator[Given]:
    """The sides in the column side of patients.csv; an empty cell gives none."""
    for case in cases:
        text = case.attributes.get("side", "")
        if text:
            yield f"{data / 'patients.csv'}, case {case.name}", case.patient, text


def _in_splits(data: Path) -> Iterator[Given]:
    """The sides in splits.csv; none if there is no such file."""
    path = data / "splits.csv"
    if not path.is_file():
        return
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file)
        if not {"patient", "side"} <= set(rows.fieldnames or ()):
            raise DataError(
                f"{path}: expected the columns patient and side, found "
                f"{rows.fieldnames}; write for example: patient,side"
            )
        for number, row in enumerate(rows, start=2):
            yield f"{path}, line {number}", row["patient"], row["side"]


def _check_given(
    given: Iterable[Given], first: dict[str, str], n_folds: int
) -> dict[str, Side]:
    """The given side of each patient, and of those with the same voxels.

    Raises:
        DataError: If a row names an unknown patient or side, or two rows contradict.
    """
    fixed: dict[str, Side] = {}
    named: dict[str, str] = {}  # first patient with the same voxels to the one named
    for where, patient, text in given:
        side = int(text) if text.isdecimal() else cast(Side, text)
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
        raise DataError(f"{where}: expected {fault}")
    sides = {leader: fixed[patient] for leader, patient in named.items()}
    return {name: sides[leader] for name, leader in first.items() if leader in sides}
