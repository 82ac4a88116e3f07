"""Dataset: the files of the data folder in the layout of nnU-Net v2, checked."""

import csv
import re
import unicodedata
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from segpipe.dataset.description import Description, Values, read_description
from segpipe.project.documents import Unit
from segpipe.project.tables import unmarked

MissingChannels = Literal["refuse", "zeros"]
ALLOW = (
    ", or, if cases may lack channels, set verify.missing_channels: zeros in "
    "params.yaml"
)
OBSERVERS = "observers"  # a folder for each person who drew the cases again


@dataclass(frozen=True)
class CaseFiles:
    """The files of one case, relative to the data folder.

    Attributes:
        name: Unique name, in Unicode's composed form.
        patient: Patient of the case.
        images: Image files in the order of the channels.
        label: File of the label map.
        instances: File of the instance ids, if the data set has them.
        attributes: Free columns of patients.csv.
        missing: Numbers of the channels of which there is no file.
        observers: Label files that other people drew, by the name of each.
    """

    name: str
    patient: str
    images: tuple[str, ...]
    label: str
    instances: str | None
    attributes: dict[str, str]
    missing: tuple[int, ...] = ()
    observers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Dataset:
    """The data folder: its description and its complete cases.

    Attributes:
        channels: Names of the channels.
        labels: Value of each structure, or the values that it unites, without
            ``ignore``; background is 0.
        ignore: The value that means *not annotated*, if there is one.
        file_ending: Ending of the images and labels.
        unit: Unit of all spacings.
        spacing_mm: Distance of columns and of rows, for 2-D images that store none.
        cases: The cases of which no file is missing, by name.
        faults: What is wrong with the layout, one text for each fault.
        regions_class_order: The value as which each structure is written, if some
            unite values.
    """

    channels: tuple[str, ...]
    labels: dict[str, Values]
    ignore: int | None
    file_ending: str
    unit: Unit
    spacing_mm: tuple[float, float] | None
    cases: tuple[CaseFiles, ...]
    faults: tuple[str, ...]
    regions_class_order: tuple[int, ...] | None = None


def read_dataset(
    data: Path, missing_channels: MissingChannels | None = None
) -> Dataset:
    """Read dataset.json and patients.csv and list the files; no image is opened.

    Args:
        data: The data folder.
        missing_channels: Whether a case may lack channels; None if it may not, and
            nobody can choose.

    Returns:
        The data set, with what is wrong with its files in ``faults``.

    Raises:
        DataError: If dataset.json cannot be used; lists all faults.

    Source:
        Layout: nnU-Net v2, documentation/dataset_format.md.
    """
    about = read_description(data)
    files, faults = _find_files(data, about, missing_channels)
    rows, more = _read_patients(data, set(files.labels))
    cases = []
    for name in files.complete:
        row = dict(rows.get(name, {}))
        cases.append(
            CaseFiles(
                name=name,
                patient=row.pop("patient", name),
                images=tuple(files.images[name][n] for n in sorted(files.images[name])),
                label=files.labels[name],
                instances=files.instances.get(name),
                attributes=row,
                missing=_missing(files.images[name], about),
                observers={
                    observer: drawn[name]
                    for observer, drawn in files.observers.items()
                    if name in drawn
                },
            )
        )
    return Dataset(
        channels=tuple(
            about.channel_names[str(n)] for n in range(len(about.channel_names))
        ),
        labels=about.structures,
        ignore=about.ignore,
        file_ending=about.file_ending,
        unit=about.true_unit,
        spacing_mm=about.spacing_mm,
        cases=tuple(cases),
        faults=(*faults, *more),
        regions_class_order=about.regions_class_order,
    )


@dataclass(frozen=True)
class _Files:
    """The files of the data folder by case, images also by number of the channel."""

    images: dict[str, dict[int, str]]
    labels: dict[str, str]
    instances: dict[str, str]
    observers: dict[str, dict[str, str]]
    complete: tuple[str, ...]


def _find_files(
    data: Path, about: Description, missing_channels: MissingChannels | None
) -> tuple[_Files, list[str]]:
    """Assign the files to cases; list what is missing, extra or doubled."""
    ending = about.file_ending
    stems, faults = _list_files(data, "imagesTr", ending)
    images: dict[str, dict[int, str]] = defaultdict(dict)
    for stem, file in stems.items():
        if match := re.fullmatch(r"(.+)_(\d{4})", stem):
            images[match[1]][int(match[2])] = file
        else:
            faults.append(_unexpected(data / file, f"CASE_0000{ending}"))
    labels, more = _list_files(data, "labelsTr", ending)
    faults += more
    instances: dict[str, str] = {}
    lacking = set()
    if (data / "instancesTr").is_dir():
        instances, more = _list_files(data, "instancesTr", ending)
        lacking = set(labels) - set(instances)
        faults += more + _instance_faults(data, labels, instances, ending)
        if about.regions_class_order is not None:
            faults.append(
                f"{data / 'instancesTr'}: expected no instance ids where structures "
                "overlap, found some; move the folder out, or give each structure one "
                "value in dataset.json"
            )
    observers, more = _find_observers(data, labels, ending)
    faults += more
    unpaired = _image_faults(data, images, labels, about, missing_channels)
    faults += unpaired.values()
    complete = sorted(set(labels) - set(unpaired) - lacking)
    if about.numTraining != len(labels):
        faults.append(
            f"{data / 'dataset.json'}: expected numTraining {about.numTraining} label "
            f"files, found {len(labels)} in labelsTr; set it to {len(labels)}, or "
            "add the missing files"
        )
    found = _Files(dict(images), labels, instances, observers, tuple(complete))
    return found, faults


def _find_observers(
    data: Path, labels: dict[str, str], ending: str
) -> tuple[dict[str, dict[str, str]], list[str]]:
    """The label files of each observer by case, and the faults; empty without any."""
    found: dict[str, dict[str, str]] = {}
    faults: list[str] = []
    inner = sorted((data / OBSERVERS).iterdir()) if (data / OBSERVERS).is_dir() else []
    for folder in inner:
        if folder.name.startswith("."):
            continue
        if not folder.is_dir():
            faults.append(_unexpected(folder, "a folder for each observer"))
            continue
        drawn, more = _list_files(data, f"{OBSERVERS}/{folder.name}", ending)
        faults += more
        faults += [
            f"{data / drawn[name]}: expected a label labelsTr/{name}{ending}, found "
            "none; add it, or move this file out of the folder"
            for name in sorted(set(drawn) - set(labels))
        ]
        found[folder.name] = drawn
    return found, faults


def _list_files(
    data: Path, folder: str, ending: str
) -> tuple[dict[str, str], list[str]]:
    """The files with the right ending by stem, and the faults.

    Hidden files are ignored. Names are compared in Unicode's composed form, because
    macOS writes the decomposed one.
    """
    if not (data / folder).is_dir():
        mend = "import data with `segpipe import`"
        return {}, [f"{data / folder}: expected a folder, found none; {mend}"]
    found: dict[str, str] = {}
    alike: dict[str, str] = {}
    faults = []
    for path in sorted((data / folder).iterdir()):
        if path.name.startswith("."):
            continue
        if not path.is_file() or not path.name.endswith(ending):
            faults.append(_unexpected(path, f"files that end in {ending}"))
            continue
        stem = unicodedata.normalize("NFC", path.name.removesuffix(ending))
        if stem.casefold() in alike:
            faults.append(
                f"{path}: expected names that differ by more than upper and lower "
                f"case, found {alike[stem.casefold()]} beside it; rename one"
            )
        found[stem] = alike[stem.casefold()] = f"{folder}/{path.name}"
    return found, faults


def _unexpected(path: Path, expected: str) -> str:
    return (
        f"{path}: expected {expected}, found another name; "
        "rename it, or move it out of the folder"
    )


def _image_faults(
    data: Path,
    images: dict[str, dict[int, str]],
    labels: dict[str, str],
    about: Description,
    missing_channels: MissingChannels | None,
) -> dict[str, str]:
    """Fault by case: images without a label, labels without all their images."""
    ending, wanted = about.file_ending, list(range(len(about.channel_names)))
    faults = {}
    for name in sorted(set(images) | set(labels)):
        found = sorted(images.get(name, {}))
        if name not in labels:
            faults[name] = (
                f"{data / images[name][found[0]]}: expected a label "
                f"labelsTr/{name}{ending}, found none; add it, or move the image out "
                "of the folder"
            )
        elif found != wanted and not (found == [0] and _holds_channels(ending)):
            in_part = bool(found) and set(found) < set(wanted)
            if in_part and missing_channels == "zeros":
                continue
            files = ", ".join(f"{name}_{n:04d}{ending}" for n in wanted)
            faults[name] = (
                f"{data / labels[name]}: expected in imagesTr {files}, found "
                f"{', '.join(images.get(name, {}).values()) or 'none'}; add the "
                "missing files and move the extra ones out"
                + (ALLOW if in_part and missing_channels else "")
            )
    return faults


def _missing(found: dict[int, str], about: Description) -> tuple[int, ...]:
    """Numbers of the channels without a file, if the others have one each."""
    if [*found] == [0] and _holds_channels(about.file_ending):
        return ()
    return tuple(n for n in range(len(about.channel_names)) if n not in found)


def _holds_channels(ending: str) -> bool:
    """Whether one file may hold all channels, as RGB does; verify counts them."""
    return not ending.lower().startswith(".nii")


def _instance_faults(
    data: Path, labels: dict[str, str], instances: dict[str, str], ending: str
) -> list[str]:
    missing = [
        f"{data / labels[name]}: expected instancesTr/{name}{ending} as for other "
        "cases, found none; add it, or remove the whole folder instancesTr"
        for name in sorted(set(labels) - set(instances))
    ]
    extra = [
        f"{data / instances[name]}: expected a label labelsTr/{name}{ending}, found "
        "none; add it, or move the instances out of the folder"
        for name in sorted(set(instances) - set(labels))
    ]
    return missing + extra


def _read_patients(
    data: Path, names: set[str]
) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Read patients.csv: the row of each case, and the faults; without it no rows."""
    path = data / "patients.csv"
    if not path.is_file():
        return {}, []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = csv.DictReader(file, strict=True)
            columns, lines = table.fieldnames or [], list(table)
    except (UnicodeDecodeError, csv.Error) as error:
        return {}, [f"{path}: expected CSV in UTF-8, found {error}; save it so"]
    if not {"case", "patient"} <= set(columns):
        return {}, [
            f"{path}: expected the columns case and patient between commas, found "
            f"{', '.join(columns) or 'none'}; begin for example with case,patient,site"
        ]
    rows: dict[str, dict[str, str]] = {}
    faults = []
    for number, line in enumerate(lines, start=2):
        name = unicodedata.normalize("NFC", unmarked(line["case"] or ""))
        if None in line or None in line.values():
            fault = (
                f"{len(columns)} cells, found fewer or more; quote cells with commas"
            )
        elif not line["patient"].strip():
            fault = f"a patient for {name}, found none; add it"
        elif name in rows:
            fault = f"one row a case, found {name} again; keep one"
        elif name not in names:
            fault = (
                f"a case of labelsTr, found {name}; correct the name or delete the row"
            )
        else:
            rows[name] = {
                unmarked(key): unmarked(line[key]) for key in columns if key != "case"
            }
            continue
        faults.append(f"{path}, line {number}: expected {fault}")
    if missing := sorted(names - set(rows)):
        faults.append(
            f"{path}: expected a row for every case, found none for "
            f"{', '.join(missing)}; add the rows, so that split can keep the cases of "
            "a patient together"
        )
    return rows, faults
