"""import: write DICOM images and their segmentations into data/."""

import logging
import re
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from segpipe.dataset.description import Values
from segpipe.dataset.layout import read_dataset
from segpipe.images.dicom.file import path_of
from segpipe.images.dicom.series import read_patient_id, read_series
from segpipe.images.formats import nifti
from segpipe.project.errors import DataError
from segpipe.project.progress import track
from segpipe.tools.importing.conversion import Conversion, ImportOptions
from segpipe.tools.importing.dicom.merging import read_labels, renumbered
from segpipe.tools.importing.dicom.pairing import (
    LabelledSeries,
    dicom_files,
    find_labelled,
)
from segpipe.tools.importing.dicom.survey import (
    choose_dicom,
    refuse_names,
    refuse_options,
)
from segpipe.tools.importing.reading.hdf5 import is_hdf5
from segpipe.tools.importing.reading.series import pseudonym_of
from segpipe.tools.importing.reading.vocabulary import refuse_unseen
from segpipe.tools.importing.writing.cases import check_image, compact
from segpipe.tools.importing.writing.known import drop_known_series
from segpipe.tools.importing.writing.ledger import (
    LedgerLine,
    read_ledger,
    write_ledger,
)
from segpipe.tools.importing.writing.replacing import (
    check_layout,
    describe_import,
    describe_nothing,
    expect_whole,
    link_existing,
    read_existing,
    replaced,
    write_description,
    write_patients,
)

log = logging.getLogger(__name__)
NUMBERED = re.compile(r"case_(\d+)", re.IGNORECASE)


def holds_dicom(source: Path, options: ImportOptions) -> bool:
    """Whether a folder is read as DICOM: it has some, and nothing else to import.

    A dataset.json, HDF5 files and the options --images and --labels take precedence.
    """
    if not source.is_dir() or options.images or options.labels:
        return False
    if (source / "dataset.json").is_file() or any(map(is_hdf5, source.iterdir())):
        return False
    return next(dicom_files(source), None) is not None


def import_dicom(source: Path, data: Path, options: ImportOptions) -> str:
    """Write labelled DICOM series into the data folder; on any fault nothing changes.

    Images keep their rescaled values (Hounsfield units of a CT) and their grid, which
    the label map shares. The channel is the modality. Cases are case_001 and so on, in
    the order of SeriesInstanceUID; added cases continue the numbers. A patient is named
    by the beginning of the SHA-256 of PatientID: the studies of a patient stay
    together, and no name or id is kept. A series of which the data hold the voxels and
    the labels for the same patient is left out. The name of a patient is a pseudonym,
    not anonymity: with a list of ids one can try them all.

    Args:
        source: A folder of DICOM files, in any nesting.
        data: The data folder of the project.
        options: Only --structure, --channel (one name), --add and --replace may be set.

    Returns:
        One sentence on what was imported.

    Raises:
        DataError: If another option is set, if files cannot be paired or read, if
            labels of one series contradict each other, or if modalities differ.
    """
    refuse_options(options)
    existing = read_existing(data, options)
    pairs = find_labelled(source)
    conversion = choose_dicom(pairs, options, data, existing)
    first = _last_number(data) + 1 if existing else 1
    cases = {f"case_{n:03d}": pair for n, pair in enumerate(pairs, start=first)}
    rows = _patients(cases)
    old = expect_whole(data) if existing else None
    with replaced(data) as part:
        labels, lines = _write_cases(part, cases, conversion)
        conversion = replace(conversion, labels=labels)
        new = drop_known_series(part, rows, data, old) if old else list(cases)
        number = len(new) + (existing.numTraining if existing else 0)
        if not new:
            shutil.rmtree(part)
            return describe_nothing(data, known=len(cases))
        if old:
            link_existing(data, part)
        # Folders may be named after patients.
        title = existing.name if existing else "DICOM"
        write_description(part, conversion, name=title, number=number)
        write_patients(part, rows, new, data if existing else None)
        before = read_ledger(data) if existing else ()
        write_ledger(part, [*before, *(line for line in lines if line.case in new)])
        check_layout(part)
    return describe_import(
        data, conversion, imported=len(new), known=len(cases) - len(new), number=number
    )


def _last_number(data: Path) -> int:
    """The highest number of the existing cases case_001 and so on; 0 without any."""
    found = [
        NUMBERED.fullmatch(case.name) for case in read_dataset(data, "zeros").cases
    ]
    return max((int(match[1]) for match in found if match), default=0)


def _patients(cases: dict[str, LabelledSeries]) -> list[dict[str, str]]:
    """The rows of patients.csv, with a pseudonym for each patient."""
    rows, faults = [], []
    for name, pair in cases.items():
        patient = read_patient_id(pair.images)
        if not patient:
            faults.append(
                f"{pair.images.files[0]}: expected a PatientID, found none; give each "
                "patient a code, so that split can keep the cases of a patient together"
            )
        rows.append({"case": name, "patient": pseudonym_of(patient)})
    if faults:
        raise DataError("\n".join(faults))
    return rows


def _write_cases(
    part: Path, cases: dict[str, LabelledSeries], conversion: Conversion
) -> tuple[Mapping[str, Values], list[LedgerLine]]:
    """Write images and label maps, one case in memory at a time.

    Returns:
        The values of all structures and of the background, and lines of the ledger.
    """
    known = {str(name): v for name, v in conversion.rules.sources.items() if v}
    seen: dict[str, int] = {}
    lines: list[LedgerLine] = []
    pairs, total = cases.items(), len(cases)
    for name, pair in track(pairs, "import", total=total, unit="case"):
        image = read_series(pair.images)
        check_image(pair.images.files[0], image.image)
        for words in image.warnings:  # without the path, which may name the patient
            log.warning("%s%s", name, words.removeprefix(str(path_of(image.slices[0]))))
        found = read_labels(pair.labels, image, only=frozenset(known))
        refuse_names(pair.labels, found, known)
        if found.left_out:
            log.warning("%s: left out %s", name, ", ".join(found.left_out))
        for new in [n for n in found.structures if n not in seen]:
            seen[new] = known.get(new, len(seen) + 1)
        array = renumbered(found.label.array, found.structures, seen)
        grid, ending = image.image.grid, conversion.ending
        goal = part / "imagesTr" / f"{name}_0000{ending}"
        nifti.write_image(goal, compact(image.image.array[0]), grid)
        nifti.write_label(part / "labelsTr" / f"{name}{ending}", compact(array), grid)
        lines += _ledger_lines(name, pair, found.left_out, ending)
    refuse_unseen(known if conversion.options.structures else (), seen)
    if not known:
        files = [part / "labelsTr" / f"{name}{conversion.ending}" for name in cases]
        return {"background": 0, **_renumber(files, seen)}, lines
    return conversion.labels, lines


def _ledger_lines(
    name: str, pair: LabelledSeries, left_out: tuple[str, ...], ending: str
) -> list[LedgerLine]:
    """What was read for a case, without the names of files and folders."""
    image, count = f"imagesTr/{name}_0000{ending}", len(pair.images.files)
    return [
        LedgerLine(
            file=f"{pair.images.modality} series of {count} files",
            case=name,
            read_as="image",
            wrote=(image,),
        ),
        LedgerLine(
            file=f"{len(pair.labels)} files of labels",
            case=name,
            read_as="SEG or RTSTRUCT",
            wrote=(f"labelsTr/{name}{ending}",),
            dropped=tuple(f"the structure {one}" for one in left_out),
        ),
    ]


def _renumber(files: list[Path], seen: dict[str, int]) -> dict[str, int]:
    """Renumber the structures from 1 in the order of their names."""
    structures = {name: value for value, name in enumerate(sorted(seen), start=1)}
    for path in files if structures != seen else ():
        label = nifti.read_label(path)
        array = renumbered(label.array, seen, structures)
        nifti.write_label(path, compact(array), label.grid)
    return structures
