"""import: bring folders of DICOM images and their segmentations into data/."""

import hashlib
import logging
import re
from pathlib import Path

from tqdm import tqdm

from segpipe.dataset import read_dataset
from segpipe.description import Description
from segpipe.errors import DataError
from segpipe.io import dicom_file, nifti
from segpipe.io.dicom import read_series
from segpipe.io.dicom_source import path_of
from segpipe.tools.choosing_dicom import (
    choose_channel,
    choose_ending,
    known_structures,
    refuse_names,
    refuse_options,
    refuse_unseen,
)
from segpipe.tools.conversion import Conversion, ImportOptions
from segpipe.tools.converting import compact
from segpipe.tools.merging_dicom import read_labels, renamed
from segpipe.tools.pairing_dicom import LabelledSeries, dicom_files, find_labelled
from segpipe.tools.replacing import (
    check_layout,
    read_existing,
    replaced,
    take_over,
    tell,
    write_description,
    write_patients,
)
from segpipe.tools.sources import is_hdf5

log = logging.getLogger(__name__)
NUMBERED = re.compile(r"case_(\d+)", re.IGNORECASE)
DIGITS = 12  # of a patient's digest: of a million, two are alike once in 560 times


def holds_dicom(source: Path, options: ImportOptions) -> bool:
    """Whether a folder is to be read as DICOM: it has some, and nothing else was said.

    A dataset.json, HDF5 files or the options --images and --labels say something else.
    """
    if not source.is_dir() or options.images or options.labels:
        return False
    if (source / "dataset.json").is_file() or any(map(is_hdf5, source.iterdir())):
        return False
    return next(dicom_files(source), None) is not None


def import_dicom(source: Path, data: Path, options: ImportOptions) -> str:
    """Write labelled DICOM series into the data folder; on any fault nothing changes.

    Images keep their rescaled values (Hounsfield units of a CT) and their grid, labels
    lie on it whole. The channel is called as the modality. Cases are called case_001
    and so on, in the order of SeriesInstanceUID; cases that are added count on. A
    patient is the beginning of the SHA-256 of PatientID: studies of one patient stay
    together, and neither a name nor an id is kept. (Who knows the ids can find the
    patient by trying them: this is a pseudonym, not anonymity.)

    Args:
        source: A folder of DICOM files, in any nesting.
        data: The data folder of the project.
        options: Of these --structure, --channel (one name), --add and --replace.

    Returns:
        What was brought in, in one sentence.

    Raises:
        DataError: If an option has no meaning here; if labels and images cannot be
            paired or read; if two labels of one series contradict each other; if the
            modalities differ; if a series names no patient.
    """
    refuse_options(options)
    existing = read_existing(data, options)
    known = known_structures(options, existing)
    pairs = find_labelled(source)
    channel = choose_channel(pairs, options, existing)
    ending = choose_ending(data, existing)
    first = _last_number(data) + 1 if existing else 1
    cases = {f"case_{n:03d}": pair for n, pair in enumerate(pairs, start=first)}
    rows = _patients(cases)
    number = len(cases) + (existing.numTraining if existing else 0)
    with replaced(data) as part:
        if existing is not None:
            take_over(data, part, list(cases))
        seen = _write_cases(part, cases, ending, known)
        structures = known or {n: value for value, n in enumerate(sorted(seen), 1)}
        refuse_unseen(source, options, seen)
        if any(structures[name] != value for name, value in seen.items()):
            for name in cases:
                _renumber(part / "labelsTr" / f"{name}{ending}", seen, structures)
        conversion = _conversion(options, existing, channel, ending, structures)
        title = existing.name if existing else "DICOM"  # folders are named as patients
        write_description(part, conversion, name=title, number=number)
        write_patients(part, rows, list(cases), data if existing else None)
        check_layout(part)
    return tell(data, conversion, imported=len(cases), number=number)


def _last_number(data: Path) -> int:
    """The highest number of the cases that are there; 0 if none is called so."""
    found = [NUMBERED.fullmatch(case.name) for case in read_dataset(data).cases]
    return max((int(match[1]) for match in found if match), default=0)


def _patients(cases: dict[str, LabelledSeries]) -> list[dict[str, str]]:
    """Rows of patients.csv."""
    rows, faults = [], []
    for name, pair in cases.items():
        path = pair.images.files[0]
        header = dicom_file.read_header(path, ["PatientID"])
        patient = str(dicom_file.value_of(path, header, "PatientID") or "").strip()
        if not patient:
            faults.append(
                f"{path}: expected a PatientID, found none; give each patient one "
                "(any code), or cases of one patient may end up on two sides"
            )
        digest = hashlib.sha256(patient.encode()).hexdigest()[:DIGITS]
        rows.append({"case": name, "patient": digest})
    if faults:
        raise DataError("\n".join(faults))
    return rows


def _write_cases(
    part: Path,
    cases: dict[str, LabelledSeries],
    ending: str,
    known: dict[str, int],
) -> dict[str, int]:
    """Write images and label maps, one case in memory at a time.

    Returns:
        The values of all structures that were seen: those that are known, or else
        numbered as they came.
    """
    seen: dict[str, int] = {}
    for name, pair in tqdm(cases.items(), desc="import", unit="case", disable=None):
        image = read_series(pair.images)
        for words in image.warnings:  # without the path: it may name the patient
            log.warning("%s%s", name, words.removeprefix(str(path_of(image.slices[0]))))
        labels = read_labels(pair.labels, image)
        refuse_names(pair.labels, labels, known)
        new = [n for n in labels.structures if n not in seen]
        values = enumerate(new, start=len(seen) + 1)
        seen |= {n: known[n] for n in new} if known else {n: v for v, n in values}
        array = renamed(labels.label.array, labels.structures, seen)
        grid = image.image.grid
        goal = part / "imagesTr" / f"{name}_0000{ending}"
        nifti.write_image(goal, compact(image.image.array[0]), grid)
        nifti.write_label(part / "labelsTr" / f"{name}{ending}", compact(array), grid)
    return seen


def _renumber(path: Path, seen: dict[str, int], structures: dict[str, int]) -> None:
    label = nifti.read_label(path)
    array = renamed(label.array, seen, structures)
    nifti.write_label(path, compact(array), label.grid)


def _conversion(
    options: ImportOptions,
    existing: Description | None,
    channel: str,
    ending: str,
    structures: dict[str, int],
) -> Conversion:
    return Conversion(
        options=options,
        ending=ending,
        channels=(channel,),
        labels={"background": 0, **structures},
        ignore=existing.labels.get("ignore") if existing else None,
        spacing_mm=None,
        unit="mm",
        keep_alpha=True,
    )
