"""import: write the images and label maps of other folders into data/, all or none."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

from segpipe.project.errors import DataError
from segpipe.project.progress import track
from segpipe.tools.importing.conversion import ImportOptions
from segpipe.tools.importing.dicom.run import holds_dicom, import_dicom
from segpipe.tools.importing.finding.patterns import find_by_pattern, is_pattern
from segpipe.tools.importing.finding.sources import (
    RawCases,
    find_described,
    find_hdf5,
    find_pairs,
)
from segpipe.tools.importing.phantom import is_phantom
from segpipe.tools.importing.reading.hdf5 import is_hdf5
from segpipe.tools.importing.reading.vocabulary import REST, sources_of, values_of
from segpipe.tools.importing.surveying.survey import choose_conversion
from segpipe.tools.importing.writing.cases import write_case
from segpipe.tools.importing.writing.known import drop_known
from segpipe.tools.importing.writing.ledger import read_ledger, write_ledger
from segpipe.tools.importing.writing.replacing import (
    check_layout,
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
    sources = _find(source, options)
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
        write_ledger(part, [*before, *(line for line in lines if line.case in new)])
        splits = sources.folder / "splits.csv" if sources.folder else None
        if splits and splits.is_file() and existing is None:
            shutil.copyfile(splits, part / "splits.csv")
        check_layout(part)
    return describe_import(
        data, conversion, imported=len(new), known=len(names) - len(new), number=number
    )


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


def _find(source: Path, options: ImportOptions) -> RawCases:
    if not source.exists():
        raise DataError(f"{source}: expected a folder or an HDF5 file, found nothing")
    if source.is_file():
        if not is_hdf5(source):
            raise DataError(
                f"{source}: expected a folder or an HDF5 file, found another file; "
                "name the folder that holds the folders of images and labels"
            )
        found = find_hdf5(source.parent)
        return replace(
            found, cases=tuple(case for case in found.cases if case.label == source)
        )
    images = source / (options.images or "")
    if options.labels is None and any(map(is_hdf5, _files(images))):
        return find_hdf5(images)
    if options.images is None and (source / "dataset.json").is_file():
        return find_described(source)
    if options.images is None or options.labels is None:
        inner = sorted(path.name for path in source.iterdir() if path.is_dir())
        raise DataError(
            f"{source}: expected dataset.json, or the names of two folders, found the "
            f"folders {', '.join(inner) or '(none)'}; give for example --images images "
            "--labels labels"
        )
    if is_pattern(options.images) or is_pattern(options.labels):
        return find_by_pattern(
            source,
            options.images,
            options.labels,
            channels=options.channels,
            structures=_masks_of(options),
            reference=options.reference,
        )
    if options.reference is not None:
        raise DataError(
            "--reference: expected --labels with {observer}, as in "
            "'labels/{case}_{observer}.png', found a folder; leave the option out"
        )
    return find_pairs(
        images,
        source / options.labels,
        channel_suffixes=options.channel_suffixes,
        label_suffix=options.label_suffix,
    )


def _masks_of(options: ImportOptions) -> list[str]:
    """The names of the masks that the options name."""
    values = values_of(options.structures, named=True)
    sources = sources_of(options.structures, values, named=True)
    return [str(source) for source in sources if source != REST]


def _files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


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
    return rows


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
