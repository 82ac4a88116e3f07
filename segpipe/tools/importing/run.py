"""import: write the images and label maps of other folders into data/, all or none."""

import re
import shutil
from pathlib import Path

from segpipe.project.errors import DataError
from segpipe.project.progress import track
from segpipe.tools.importing.conversion import ImportOptions
from segpipe.tools.importing.dicom.run import holds_dicom, import_dicom
from segpipe.tools.importing.finding.cases import find_cases
from segpipe.tools.importing.finding.sources import RawCases
from segpipe.tools.importing.phantom import is_phantom
from segpipe.tools.importing.reading.series import read_pseudonym
from segpipe.tools.importing.surveying.survey import choose_conversion
from segpipe.tools.importing.writing.cases import note_unlabelled, write_case
from segpipe.tools.importing.writing.known import drop_known
from segpipe.tools.importing.writing.ledger import read_ledger, write_ledger
from segpipe.tools.importing.writing.replacing import (
    check_layout,
    describe_gaps,
    describe_import,
    describe_nothing,
    expect_whole,
    is_filled,
    link_existing,
    read_existing,
    read_rows,
    replaced,
    sole_import,
    write_description,
    write_patients,
)

PARTICIPANT = "participant_id"  # column of BIDS' participants.tsv


def import_dataset(source: Path, data: Path, options: ImportOptions) -> str:
    """Write the cases of a folder into the data folder; on any fault nothing changes.

    Args:
        source: A folder in the layout of nnU-Net or the MSD, a folder with folders of
            images and labels, HDF5 files (or a single one), or a folder of DICOM.
        data: The data folder of the project.
        options: What the source does not state itself.

    Returns:
        One sentence on what was imported.

    Raises:
        DataError: If the source cannot be imported, or if the data folder holds other
            data and the options say neither replace nor add.
    """
    with sole_import(data):
        return _import(source, data, options)


def _import(source: Path, data: Path, options: ImportOptions) -> str:
    refuse_loss(data, options)
    if holds_dicom(source, options):
        return import_dicom(source, data, options)
    sources = find_cases(source, options)
    if not sources.cases:
        raise DataError(f"{source}: expected cases, found none; see --images, --labels")
    existing = read_existing(data, options)
    conversion = choose_conversion(sources, options, existing)
    names = [case.name for case in sources.cases]
    rows = _read_patients(sources, options)
    old = expect_whole(data) if existing else None
    title = existing.name if existing else source.resolve().name
    with replaced(data) as part:
        lines = []
        root = source if source.is_dir() else source.parent
        total = len(sources.cases)
        for case in track(sources.cases, "import", total=total, unit="case"):
            lines += write_case(case, conversion, part, root)
        new = drop_known(part, names, rows, data, old) if old else names
        number = len(new) + (existing.numTraining if existing else 0)
        if not new:
            shutil.rmtree(part)
            return describe_nothing(data, known=len(names))
        if old:
            link_existing(data, part)
        write_description(part, conversion, name=title, number=number)
        write_patients(part, rows, new, data if existing else None)
        before = read_ledger(data) if existing else ()
        lines = [line for line in lines if line.case in new]
        lines += [one for one in note_unlabelled(sources, root) if one not in before]
        write_ledger(part, [*before, *lines])
        splits = sources.folder / "splits.csv" if sources.folder else None
        if splits and splits.is_file() and existing is None:
            shutil.copyfile(splits, part / "splits.csv")
        check_layout(part)
    said = describe_import(
        data, conversion, imported=len(new), known=len(names) - len(new), number=number
    )
    lacking = [case.name for case in sources.cases if case.missing]
    return said + describe_gaps(lacking, len(sources.unlabelled))


def refuse_loss(data: Path, options: ImportOptions) -> None:
    """Refuse an import that would lose data without --replace or --add.

    Raises:
        DataError: If the data folder holds other data than the unchanged example and
            neither option is given, or if both are given.
    """
    if options.replace and options.add:
        raise DataError("expected --replace or --add, found both; give one")
    if not is_filled(data) or options.replace or options.add or is_phantom(data):
        return
    raise DataError(
        f"{data}: expected an empty folder or the untouched example, found other data; "
        "use --add to join them, or --replace to replace them (they stay in DVC's "
        "cache if they were committed); --add leaves out cases that are there already"
    )


def _read_patients(sources: RawCases, options: ImportOptions) -> list[dict[str, str]]:
    """The rows of the file in the options, or else of the one beside the cases.

    With a pattern, the rows are the patients that the names of the cases state.
    """
    given = options.patients or (sources.folder and sources.folder / "patients.csv")
    rows = read_rows(given) if given and given.is_file() else []
    if options.patient_pattern is not None:
        if rows:
            raise DataError(
                f"--patient-pattern: expected no file of patients beside it, found "
                f"{given}; leave out the option, or move the file away"
            )
        return _match_patients(sources, options.patient_pattern)
    if options.patients and not rows:
        raise DataError(f"{options.patients}: expected patients, found none")
    if given and rows and PARTICIPANT in rows[0] and "case" not in rows[0]:
        return _participants(given, rows, sources)
    folders = all(case.images[0].is_dir() for case in sources.cases)
    return rows or (_series_patients(sources) if folders else [])


def _series_patients(sources: RawCases) -> list[dict[str, str]]:
    """The patient of each DICOM series by its headers, or else by the case's name."""
    return [
        {"case": case.name, "patient": read_pseudonym(case.images[0]) or case.name}
        for case in sources.cases
    ]


def _participants(
    path: Path, rows: list[dict[str, str]], sources: RawCases
) -> list[dict[str, str]]:
    """The row of each case in BIDS' participants.tsv: that of its subject.

    Raises:
        DataError: If the table lacks the subject of a case.
    """
    table = {row[PARTICIPANT]: row for row in rows}
    found = []
    for case in sources.cases:
        subject = case.name.partition("_")[0]
        if subject not in table:
            raise DataError(
                f"{path}: expected a row of {subject}, found none; add it, or give "
                "--patient-pattern '(sub-[^_]+).*' instead of --patients"
            )
        others = {
            key: "" if cell in (None, "n/a") else cell
            for key, cell in table[subject].items()
            if key and key not in (PARTICIPANT, "patient")
        }
        found.append({"case": case.name, "patient": subject, **others})
    return found


def _match_patients(sources: RawCases, pattern: str) -> list[dict[str, str]]:
    """The patient of each case: the first group of a pattern of its whole name.

    Raises:
        DataError: If the pattern is none, has no group, or does not match every name.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise DataError(
            f"--patient-pattern {pattern}: expected a regular expression, found "
            f"{error}; give for example '(.+)_(left|right)'"
        ) from error
    rows = []
    for case in sources.cases:
        match = compiled.fullmatch(case.name)
        if match is None or not compiled.groups or not match[1]:
            raise DataError(
                f"--patient-pattern {pattern}: expected a pattern of the whole name of "
                f"each case, whose first group is the patient, found none in "
                f"{case.name}; give for example '(.+)_(left|right)'"
            )
        rows.append({"case": case.name, "patient": match[1]})
    return rows
