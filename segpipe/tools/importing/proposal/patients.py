"""Patients of a source: from a table beside the files, or from names of two sides."""

import csv
import re
from dataclasses import replace
from pathlib import Path

from segpipe.tools.importing.conversion import ImportOptions

# What ends the names of the cases of one patient: eyes, ears, lungs.
SIDES = ("[LR]", "(left|right)", "(OD|OS)", "(L|R|l|r)", "(od|os)", "(Left|Right)")


def propose_patients(
    options: ImportOptions, source: Path, cases: list[str]
) -> tuple[ImportOptions, str]:
    """Propose which cases are of one patient, and say it in a line.

    Args:
        options: The options until now.
        source: The folder.
        cases: Names of the cases.
    """
    for table in sorted(source.glob("*.csv")):
        with table.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            columns = next(csv.reader(file), [])
        if {"case", "patient"} <= set(columns):
            return replace(options, patients=table), f"patients: from {table.name}"
    for side in SIDES:
        pattern = f"(.+?)[-_ ]?{side}"
        found = [re.fullmatch(pattern, case) for case in cases]
        names = {match[1] for match in found if match}
        if all(found) and len(names) < len(cases):
            line = f"patients: {len(names)}, as the names end in two sides"
            return replace(options, patient_pattern=pattern), line
    line = f"patients: {len(cases)}, each case one; if not, see --patients"
    return options, line
