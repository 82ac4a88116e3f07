"""split: choose the test set and the folds by patient."""

import csv
import hashlib
import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, cast

from pydantic import Field

from segpipe.dataset.case import DERIVED, Case, read_cases
from segpipe.dataset.split import (
    Fold,
    Split,
    SplitLock,
    lock_file,
    pseudonym,
    read_lock,
    read_split,
    split_file,
)
from segpipe.project.errors import DataError
from segpipe.project.origin.commit import locked_stage
from segpipe.project.params import Params
from segpipe.project.paths import Paths

log = logging.getLogger(__name__)
TEST: Literal["test"] = "test"
FEWEST = 3  # patients: one to test, one to validate, one to train
Side = Literal["test"] | int  # the number of the fold that a patient validates, or TEST
EVERYONE = ""  # the trait that all patients share
# Words of a column side that tells which side of the body an image shows.
BODY = frozenset({"left", "right", "both", "l", "r", "b"})


class SplitParams(Params):
    """Section split of params.yaml.

    Attributes:
        seed: Seed of the order in which patients are assigned to sides.
        test_fraction: Share of the patients that are in the test set.
        n_folds: Number of parts of the other patients; fold n validates on part n and
            trains on the others.
        groups: Columns of patients.csv whose values are on as many sides as can be, as
            the structures and the site are; a training may draw patches by them.
    """

    seed: int
    test_fraction: float = Field(ge=0, lt=1)
    n_folds: int = Field(ge=2)
    # None in the params of projects that were written before it.
    groups: tuple[str, ...] = ()


def run(params: SplitParams, *, paths: Paths) -> None:
    """Write the split to artifacts/split, and the side of each patient to split.lock.

    All cases of a patient are on one side. Patients in split.lock keep their side. New
    ones are assigned so that the sizes of the sides are those of the params, and that
    each structure, each site (column ``site`` of patients.csv) and each value of the
    columns ``groups`` is on as many sides as it can be. Sides that data/splits.csv
    (columns patient and side: ``test`` or the number of a fold) or a column ``side`` of
    patients.csv gives come before all others. Patients whose images hold the same
    voxels are on one side. A patient with a case that is a corrected segmentation
    (column ``derived_from``) is never tested. With a test_fraction of 0 only given and
    kept sides test.

    Raises:
        DataError: If the given sides contradict each other or the cases, or put copies
            on different sides; if a side is empty; if split.lock is damaged or lost; if
            a tested patient has a corrected segmentation.
    """
    cases = read_cases(paths.artifacts).cases
    groups = _groups(cases, params.groups, paths)
    of_patient = defaultdict(list)
    for case in cases:
        of_patient[case.patient].append(case.name)
    first = _find_copies(cases)
    given = [*_in_patients(paths.data, cases), *_in_splits(paths.data)]
    n_folds = params.n_folds
    fixed = _check_given(given, first, n_folds)
    kept = _kept_sides(params, first, cases, paths)
    known = _known_sides(first, fixed, kept)
    derived = {case.patient for case in cases if case.is_derived}
    for patient in sorted(derived):
        leader = first[patient]
        known.setdefault(leader, int(_share(params.seed, "fold", leader) * n_folds))
    sides = assign(params, first, known, _traits(cases, params.groups))
    _refuse_derived(derived, sides, paths.data)
    empty = _empty_side(sides, params)
    if empty is not None:
        mend = _mend(params, first, given=bool(fixed), kept=bool(kept))
        raise DataError(
            f"{paths.params}, split: expected patients on every side, found none of "
            f"{len(of_patient)} in {empty}; {mend}"
        )

    def members(*wanted: Side) -> tuple[str, ...]:
        chosen = [name for name, side in sides.items() if side in wanted]
        return tuple(sorted(case for name in chosen for case in of_patient[name]))

    numbers = range(params.n_folds)
    folds = tuple(
        Fold(training=members(*(m for m in numbers if m != n)), validation=members(n))
        for n in numbers
    )
    _keep(params, kept, sides, lock_file(paths.root))
    document = Split(format_version=1, test=members(TEST), folds=folds, groups=groups)
    document.write(split_file(paths.artifacts))
    log.info(
        "split %d patients, %d cases: %d cases to test, %s to validate",
        len(of_patient),
        len(cases),
        len(members(TEST)),
        " + ".join(str(len(fold.validation)) for fold in folds),
    )


def _refuse_derived(derived: set[str], sides: dict[str, Side], data: Path) -> None:
    """Refuse corrected segmentations of tested patients: the gate would reward them."""
    tested = sorted(patient for patient in derived if sides[patient] == TEST)
    if tested:
        raise DataError(
            f"{data / 'patients.csv'}: expected no corrected segmentation (column "
            f"{DERIVED}) of a patient who is tested, found one of {tested[0]}; take "
            "this case out of data/"
        )


def _share(*words: object) -> float:
    """Hash words to a number from 0 to 1."""
    digest = hashlib.sha256("\0".join(map(str, words)).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _keep(
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


def _kept_sides(
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
    if _empty_side(sides, params) is not None:
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
    if _share(params.seed, TEST, patient) < params.test_fraction:
        return TEST
    return int(_share(params.seed, "fold", patient) * params.n_folds)


def _known_sides(
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


def _groups(
    cases: Sequence[Case], columns: Sequence[str], paths: Paths
) -> dict[str, dict[str, str]]:
    """The value of each case that has one, by column.

    Raises:
        DataError: If no case has a value in a column.
    """
    groups = {}
    for column in columns:
        stated = {one.name: one.attributes.get(column, "").strip() for one in cases}
        groups[column] = {name: value for name, value in stated.items() if value}
        if not groups[column]:
            known = sorted({name for case in cases for name in case.attributes})
            raise DataError(
                f"{paths.params}, split.groups: expected columns of "
                f"{paths.data / 'patients.csv'} ({', '.join(known) or 'none'}), found "
                f"{column}; add the column, or take it from the list"
            )
    return groups


def _traits(cases: Sequence[Case], columns: Sequence[str]) -> dict[str, set[str]]:
    """What is to be on all sides: a patient's structures, its site, and EVERYONE.

    So are its values in these columns.
    """
    traits: dict[str, set[str]] = defaultdict(lambda: {EVERYONE})
    for case in cases:
        site = case.attributes.get("site", "")
        named = {f"structure {name}" for name in case.structures}
        values = {f"{name} {case.attributes.get(name, '')}" for name in columns}
        traits[case.patient] |= named | {f"site {site}"} | values
    return traits


def assign(
    params: SplitParams,
    first: dict[str, str],
    known: dict[str, Side],
    traits: Mapping[str, set[str]],
) -> dict[str, Side]:
    """The side of each patient: the known one, or one that lacks what the patient has.

    First each side gets a number of seats, so that its size is that of the params. Then
    the rarest trait is spread over the sides with seats, then the next rarest. If only
    one patient has it, all folds but 1 train on it; two, and it is tested, too; three,
    and fold 0 validates it.

    Source:
        Sechidis 2011, doi:10.1007/978-3-642-23808-6_10, algorithm 1: the rarest label
        first, to the side that lacks most of its share. Seats by the same rule, which
        for one label is the method of the largest remainder.
    """
    part = (1 - params.test_fraction) / params.n_folds
    tested: list[Side] = [TEST] if params.test_fraction else []
    order: list[Side] = [1, *tested, *(n for n in range(params.n_folds) if n != 1)]
    shares = {side: params.test_fraction if side == TEST else part for side in order}
    sides = dict(known)
    own = {leader: set[str]() for leader in sorted(set(first.values()))}
    for patient, leader in first.items():
        own[leader] |= traits[patient]
    free = [leader for leader in own if leader not in sides]
    free.sort(key=lambda leader: _share(params.seed, "order", leader))
    sizes = Counter(sides.values())
    seats = Counter[Side]()
    for _ in free:
        side = _neediest(order, shares, sizes, len(own))
        sizes[side] += 1
        seats[side] += 1
    number = Counter(trait for leader in own for trait in own[leader])
    for trait in sorted(number, key=lambda trait: (number[trait], trait)):
        held = Counter(sides[one] for one in own if one in sides and trait in own[one])
        for leader in [one for one in free if one not in sides and trait in own[one]]:
            places = [side for side in order if seats[side]]
            side = _neediest(places, shares, held, number[trait])
            sides[leader] = side
            held[side] += 1
            seats[side] -= 1
    return {patient: sides[leader] for patient, leader in first.items()}


def _neediest(
    order: Sequence[Side],
    shares: Mapping[Side, float],
    held: Mapping[Side, int],
    total: int,
) -> Side:
    """The first side without any of a total, or the one that lacks most of its share.

    Shares are rounded, so that equal sides are equal, and the first one is chosen.
    """
    for side in order:
        if not held.get(side):
            return side
    return max(order, key=lambda side: round(shares[side] * total - held[side], 9))


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


def _empty_side(sides: dict[str, Side], params: SplitParams) -> str | None:
    """The first side without a patient; None if there is no such side.

    Nobody needs to be tested if the params ask for none.
    """
    wanted = [TEST] if params.test_fraction else []
    for side in (*wanted, *range(params.n_folds)):
        if side not in sides.values():
            return TEST if side == TEST else f"fold {side}"
    return None


def _mend(
    params: SplitParams, first: dict[str, str], *, given: bool, kept: bool
) -> str:
    """What to change so that no side is empty."""
    different = len(set(first.values()))
    if different < FEWEST:
        return (
            f"add cases of {FEWEST - different} other patients: one to test, one to "
            "validate and one to train are the fewest"
        )
    if different <= params.n_folds:
        return f"set split.n_folds to {different - 1}, and list no higher fold in folds"
    anew = "set another split.seed, which assigns all others anew"
    fewer = "give fewer patients a side in patients.csv or data/splits.csv"
    return " and ".join([fewer] * given + [anew] * kept)


Given = tuple[str, str, str]  # where a side is given, the patient and the side


def _in_patients(data: Path, cases: Sequence[Case]) -> Iterator[Given]:
    """The sides in the column side of patients.csv; an empty cell gives none.

    A column of nothing but sides of the body is a free column.
    """
    stated = [(case, case.attributes.get("side", "").strip()) for case in cases]
    stated = [(case, text) for case, text in stated if text]
    if all(text.lower() in BODY for _, text in stated):
        return
    for case, text in stated:
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
            yield f"{path}, line {number}", row["patient"] or "", row["side"] or ""


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
