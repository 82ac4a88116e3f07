"""About: what a report is about, and the files by which its numbers become names."""

import math
from collections.abc import Collection
from typing import Any

import numpy as np

from segpipe.dataset.case import CaseList
from segpipe.dataset.case_files import PredictionRecord
from segpipe.dataset.split import Split
from segpipe.evaluation.figures import Figures, Rows
from segpipe.evaluation.report.page import KEY, Part, Row, Table
from segpipe.project.tables import table_text

DIGITS = 12  # of a digest
TIMES = "\N{MULTIPLICATION SIGN}"


def build_subtitle(cases: CaseList, split: Split) -> str:
    """Say in a line how large the data set is, and what it shows."""
    patients = len({case.patient for case in cases.cases})
    spacing = np.median([case.spacing for case in cases.cases], axis=0)
    size = f" {TIMES} ".join(f"{step:.3g}" for step in spacing[: cases.dimensions])
    return (
        f"{len(cases.cases)} {cases.dimensions}-D cases of {patients} patients, "
        f"{len(split.test)} of them to test · structures: "
        f"{', '.join(cases.structures[1:])} · channels: {', '.join(cases.channels)} · "
        f"median spacing {size} {cases.unit}"
    )


def build_about(
    cases: CaseList,
    split: Split,
    *,
    name: str,
    version: str | None,
    commit: str | None,
    code: dict[str, str],
    predicted: dict[str, PredictionRecord],
    folds: list[int],
) -> Part:
    """Say what the report is about: data, commit, segmenters and sides.

    Args:
        cases: The data set.
        split: The sides of its cases.
        name: Name of the data set; may be empty.
        version: MD5 of the data, if DVC tracks them.
        commit: Commit and its date, if the project lies in git.
        code: Version and digest of the segpipe that writes the report, as code_tags
            gives them.
        predicted: What each model predicted with.
        folds: Numbers of the folds.
    """
    rows = [
        ("Data set", name or "without a name"),
        ("Version of the data", f"MD5 {version}" if version else "not tracked by DVC"),
        ("Commit", commit or "not in git"),
        ("segpipe", f"{code['segpipe.version']}, code {code['segpipe.code'][:DIGITS]}"),
        ("All cases", _count(cases, [case.name for case in cases.cases])),
        ("Test", _count(cases, split.test)),
    ]
    for fold in folds:
        sides = split.folds[fold]
        rows.append(
            (
                f"Fold {fold}",
                f"training: {_count(cases, sides.training)}; "
                f"validation: {_count(cases, sides.validation)}",
            )
        )
    rows += [
        (f"Segmenter of {model}", f"digest {record.segmenter[:DIGITS]}")
        for model, record in predicted.items()
    ]
    return Part(
        "What this report is about",
        "Cases go by numbers. Who may know their names finds them in the key beside "
        "the page; do not pass it on with the page.",
        Table(("", ""), tuple(Row(row) for row in rows)),
        links={"Key to the cases": KEY},
    )


def _count(cases: CaseList, names: Collection[str]) -> str:
    """Cases and patients in words."""
    chosen = set(names)
    patients = {case.patient for case in cases.cases if case.name in chosen}
    return (
        f"{len(chosen)} case{'s' * (len(chosen) != 1)} of "
        f"{len(patients)} patient{'s' * (len(patients) != 1)}"
    )


def build_key(cases: CaseList, split: Split, names: dict[str, str]) -> str:
    """The key to the cases as CSV: number, name, patient, side and files.

    Args:
        cases: The data set.
        split: The sides of its cases.
        names: Case to pseudonym.
    """
    test = set(split.test)
    rows = [
        {
            "number": names[case.name],
            "case": case.name,
            "patient": case.patient,
            "side": "test" if case.name in test else "training",
            "images": " ".join(f"data/{file}" for file in case.images),
            "label": f"data/{case.label}",
        }
        for case in cases.cases
    ]
    columns = ["number", "case", "patient", "side", "images", "label"]
    return table_text(columns, sorted(rows, key=lambda row: row["number"]))


def build_figures(
    evaluated: dict[str, tuple[Figures, Rows]], names: dict[str, str]
) -> str:
    """All figures as CSV: a row for each figure, a column for each model.

    Args:
        evaluated: Figures of each model, and those of each case and structure.
        names: Case to pseudonym.
    """
    columns: dict[str, dict[str, Any]] = {}
    for model, (figures, rows) in evaluated.items():
        groups = ("test", "structures", "dataset", "instances", "groups")
        flat = _flatten({group: getattr(figures, group) for group in groups})
        for (case, structure), row in rows.items():
            numbers = {n: v for n, v in row.items() if n not in ("case", "structure")}
            flat |= _flatten(numbers, f"cases/{names[case]}/{structure}/")
        columns[model] = flat
    found = dict.fromkeys(name for flat in columns.values() for name in flat)
    rows_ = [
        {
            "figure": name,
            **{model: flat.get(name, "") for model, flat in columns.items()},
        }
        for name in found
    ]
    return table_text(["figure", *columns], rows_)


def _flatten(document: dict[str, Any], lead: str = "") -> dict[str, Any]:
    """Known figures by their place, such as structures/liver/dice_mean."""
    flat: dict[str, Any] = {}
    for name, value in document.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f"{lead}{name}/")
        elif value is not None and not (isinstance(value, float) and math.isnan(value)):
            flat[f"{lead}{name}"] = value
    return flat
