"""Patients: who has the same voxels, and what is to be on all sides."""

import logging
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from segpipe.dataset.case import DERIVED, Case
from segpipe.planning.sides.assignment import TEST, Side
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths

log = logging.getLogger(__name__)
EVERYONE = ""  # the trait that all patients share


def refuse_derived(derived: set[str], sides: dict[str, Side], data: Path) -> None:
    """Refuse corrected segmentations of tested patients: the gate would reward them."""
    tested = sorted(patient for patient in derived if sides[patient] == TEST)
    if tested:
        raise DataError(
            f"{data / 'patients.csv'}: expected no corrected segmentation (column "
            f"{DERIVED}) of a patient who is tested, found one of {tested[0]}; take "
            "this case out of data/"
        )


def read_groups(
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


def find_traits(cases: Sequence[Case], columns: Sequence[str]) -> dict[str, set[str]]:
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


def find_copies(cases: Sequence[Case]) -> dict[str, str]:
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
        leaders = {_leader(first, patient) for patient in patients}
        first |= dict.fromkeys(leaders, min(leaders))
    return {patient: _leader(first, patient) for patient in first}


def _leader(first: dict[str, str], patient: str) -> str:
    """Follow a patient to the first of all joined ones, and shorten the way to it."""
    while first[patient] != patient:
        first[patient] = first[first[patient]]
        patient = first[patient]
    return patient
