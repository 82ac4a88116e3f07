"""Given sides: those that patients.csv and splits.csv state."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import cast

from segpipe.dataset.case import Case
from segpipe.planning.sides.assignment import TEST, Side
from segpipe.project.errors import DataError

# Words of a column side that tells which side of the body an image shows.
BODY = frozenset({"left", "right", "both", "l", "r", "b"})
Given = tuple[str, str, str]  # where a side is given, the patient and the side


def sides_in_patients(data: Path, cases: Sequence[Case]) -> Iterator[Given]:
    """The sides in the column side of patients.csv; an empty cell gives none.

    A column of nothing but sides of the body is a free column.
    """
    stated = [(case, case.attributes.get("side", "").strip()) for case in cases]
    stated = [(case, text) for case, text in stated if text]
    if all(text.lower() in BODY for _, text in stated):
        return
    for case, text in stated:
        yield f"{data / 'patients.csv'}, case {case.name}", case.patient, text


def sides_in_splits(data: Path) -> Iterator[Given]:
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


def check_given(
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
