"""import: bring other folders' images and label maps into data/, all or nothing."""

import csv
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from segpipe.dataset import read_dataset
from segpipe.description import Description, read_description
from segpipe.documents import write_json
from segpipe.errors import DataError
from segpipe.phantom import is_phantom
from segpipe.tools.choosing import choose_conversion
from segpipe.tools.conversion import Conversion, ImportOptions
from segpipe.tools.converting import write_case
from segpipe.tools.sources import (
    Sources,
    find_described,
    find_hdf5,
    find_pairs,
    is_hdf5,
)

log = logging.getLogger(__name__)


def import_dataset(source: Path, data: Path, options: ImportOptions) -> str:
    """Write the cases of a folder into the data folder; on any fault nothing changes.

    Args:
        source: A folder as of nnU-Net or the MSD, a folder of image and label folders,
            or HDF5 files (or a single one).
        data: The data folder of the project.
        options: What the source does not say itself.

    Returns:
        What was brought in, in one sentence.

    Raises:
        DataError: If the source cannot be brought in, or the data folder holds other
            data and nothing was said of replacing or adding.
    """
    _refuse_loss(data, options)
    sources = _find(source, options)
    if not sources.cases:
        raise DataError(f"{source}: expected cases, found none; see --images, --labels")
    existing = read_description(data) if _adds(data, options) else None
    conversion = choose_conversion(sources, options, existing)
    with _replaced(data) as part:
        if existing is not None:
            _take_over(data, part, sources)
        names = [case.name for case in sources.cases]
        for case in tqdm(sources.cases, desc="import", unit="case", disable=None):
            write_case(case, conversion, part)
        number = len(names) + (existing.numTraining if existing else 0)
        write_json(part / "dataset.json", _describe(source, conversion, number))
        _write_patients(data, part, names, sources, options, existing)
        splits = sources.folder / "splits.csv" if sources.folder else None
        if splits and splits.is_file() and existing is None:
            shutil.copyfile(splits, part / "splits.csv")
        _check(part)
    return (
        f"imported {len(names)} cases with the channels "
        f"{', '.join(conversion.channels)} and the structures "
        f"{', '.join(name for name in conversion.labels if name != 'background')} "
        f"as {conversion.ending}; {data} now holds {number} cases"
    )


def parse_structures(texts: list[str]) -> dict[str, int]:
    """NAME=VALUE as the command line has it.

    Raises:
        DataError: If a text is not of this form, or a name or value comes twice.
    """
    structures: dict[str, int] = {}
    for text in texts:
        name, _, value = text.rpartition("=")
        if not name or not value.lstrip("-").isdecimal():
            raise DataError(f"--structure {text}: expected NAME=VALUE, as in nucleus=1")
        if name in structures or int(value) in structures.values():
            raise DataError(f"--structure {text}: expected a new name and value")
        structures[name] = int(value)
    return structures


def _find(source: Path, options: ImportOptions) -> Sources:
    if not source.exists():
        raise DataError(f"{source}: expected a folder or an HDF5 file, found nothing")
    if source.is_file():
        if not is_hdf5(source):
            raise DataError(
                f"{source}: expected a folder or an HDF5 file, found another file; "
                "name the folder that holds the images' and the labels' folders"
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
            f"folders {', '.join(inner) or '(none)'}; say for example --images images "
            "--labels labels"
        )
    return find_pairs(
        images,
        source / options.labels,
        channel_suffixes=options.channel_suffixes,
        label_suffix=options.label_suffix,
    )


def _files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _refuse_loss(data: Path, options: ImportOptions) -> None:
    if options.replace and options.add:
        raise DataError("expected --replace or --add, found both; say one")
    if not _files(data) or options.replace or options.add or is_phantom(data):
        return
    raise DataError(
        f"{data}: expected an empty folder or the untouched example, found other data; "
        "say --add to join them, or --replace to give them up (they stay in DVC's "
        "cache if they were committed)"
    )


def _adds(data: Path, options: ImportOptions) -> bool:
    return options.add and bool(_files(data))


def _take_over(data: Path, part: Path, sources: Sources) -> None:
    """The cases that are there, by hard links: the old folder goes afterwards."""
    dataset = read_dataset(data)
    if dataset.faults:
        raise DataError(
            f"{data}: expected a whole data set to add to, found:\n"
            + "\n".join(f"  {fault}" for fault in dataset.faults)
        )
    old = {case.name.casefold() for case in dataset.cases}
    twice = [case.name for case in sources.cases if case.name.casefold() in old]
    if twice:
        raise DataError(
            f"{data}: expected new names of cases, found {', '.join(twice[:8])} on "
            "both sides; rename the new files"
        )
    shutil.copytree(data, part, copy_function=_link, symlinks=True, dirs_exist_ok=True)
    for file in ("dataset.json", "patients.csv"):  # written anew: never through a link
        (part / file).unlink(missing_ok=True)


def _link(source: str, goal: str) -> None:
    try:
        os.link(source, goal)
    except OSError:  # not within one file system
        shutil.copy2(source, goal)


def _describe(source: Path, conversion: Conversion, number: int) -> dict[str, Any]:
    ignore = {} if conversion.ignore is None else {"ignore": conversion.ignore}
    document: dict[str, Any] = {
        "name": source.resolve().name,
        "channel_names": {str(n): name for n, name in enumerate(conversion.channels)},
        "labels": {**conversion.labels, **ignore},
        "numTraining": number,
        "file_ending": conversion.ending,
    }
    nifti = conversion.ending.startswith(".nii")
    if conversion.spacing_mm and not nifti:
        document["spacing_mm"] = list(conversion.spacing_mm[:2])
    if nifti and conversion.unit == "px":
        document["unit"] = "px"
    return document


def _write_patients(
    data: Path,
    part: Path,
    names: list[str],
    sources: Sources,
    options: ImportOptions,
    existing: Description | None,
) -> None:
    """patients.csv of the old and the new cases, if either side has one."""
    given = options.patients or (sources.folder and sources.folder / "patients.csv")
    new = _read_rows(given) if given and given.is_file() else []
    if options.patients and not new:
        raise DataError(f"{options.patients}: expected patients, found none")
    before = data / "patients.csv"
    old = _read_rows(before) if existing and before.is_file() else []
    if old and not new:
        raise DataError(
            f"{before}: expected the new cases' patients, found none; say --patients "
            "FILE.csv with the columns case and patient"
        )
    if new and existing and not old:
        listed = read_dataset(data).cases
        old = [{"case": case.name, "patient": case.patient} for case in listed]
    rows = old + [row for row in new if row.get("case") in names]
    if not rows:
        return
    columns = list(dict.fromkeys(key for row in rows for key in row if key))
    with (part / "patients.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


def _read_rows(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return list(csv.DictReader(file))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: expected CSV in UTF-8, found {error}") from error


def _check(part: Path) -> None:
    """What verify would say of the layout; the images themselves it reads later."""
    faults = read_dataset(part).faults
    if faults:
        raise DataError("\n".join(faults).replace(f"{part}/", ""))


@contextmanager
def _replaced(data: Path) -> Iterator[Path]:
    """A folder to write into, which takes the place of the data if nothing fails."""
    part = data.with_name(f".{data.name}.import")
    aside = data.with_name(f".{data.name}.before-import")
    if aside.exists() and not data.exists():  # killed between the two renames
        aside.rename(data)
    for folder in (part, aside):
        if folder.exists():
            shutil.rmtree(folder)
    part.mkdir(parents=True)
    try:
        yield part
    except BaseException:
        shutil.rmtree(part)
        raise
    if data.exists():
        data.rename(aside)
    part.rename(data)
    if aside.is_symlink():
        aside.unlink()
    elif aside.exists():
        shutil.rmtree(aside)
