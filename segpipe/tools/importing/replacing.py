"""Replacing: a data folder is written anew as a whole, or stays as it was."""

import csv
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from segpipe.dataset.description import Description, read_description
from segpipe.dataset.layout import read_dataset
from segpipe.project.documents import write_json
from segpipe.project.errors import DataError
from segpipe.tools.importing.conversion import Conversion, ImportOptions
from segpipe.tools.importing.phantom import is_phantom


def refuse_loss(data: Path, options: ImportOptions) -> None:
    """Let no data go that nobody gave up.

    Raises:
        DataError: If the data folder holds other data than the untouched example, and
            nothing was said of replacing or adding; or if both were said.
    """
    if options.replace and options.add:
        raise DataError("expected --replace or --add, found both; say one")
    if not _is_filled(data) or options.replace or options.add or is_phantom(data):
        return
    raise DataError(
        f"{data}: expected an empty folder or the untouched example, found other data; "
        "say --add to join them, or --replace to give them up (they stay in DVC's "
        "cache if they were committed)"
    )


def read_existing(data: Path, options: ImportOptions) -> Description | None:
    """What the data say of themselves that the cases are to join, if there are any."""
    return read_description(data) if options.add and _is_filled(data) else None


def _is_filled(data: Path) -> bool:
    return data.is_dir() and any(data.iterdir())


@contextmanager
def replaced(data: Path) -> Iterator[Path]:
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


def take_over(data: Path, part: Path, names: list[str]) -> None:
    """Bring in the cases that are there, by hard links: the old folder goes afterwards.

    Args:
        data: The data folder as it is.
        part: The folder that will take its place.
        names: Of the new cases.

    Raises:
        DataError: If the old data are not whole, or hold a case of a new one's name.
    """
    dataset = read_dataset(data)
    if dataset.faults:
        raise DataError(
            f"{data}: expected a whole data set to add to, found:\n"
            + "\n".join(f"  {fault}" for fault in dataset.faults)
        )
    old = {case.name.casefold() for case in dataset.cases}
    twice = [name for name in names if name.casefold() in old]
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


def write_description(
    part: Path, conversion: Conversion, *, name: str, number: int
) -> None:
    """Write dataset.json: the set's name, what became of the files, how many cases."""
    ignore = {} if conversion.ignore is None else {"ignore": conversion.ignore}
    document: dict[str, object] = {
        "name": name,
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
    write_json(part / "dataset.json", document)


def write_patients(
    part: Path, new: list[dict[str, str]], names: list[str], old_data: Path | None
) -> None:
    """Write patients.csv of the old and the new cases, if either side has one.

    Args:
        part: The folder to write into.
        new: Rows of the new cases; others are left out.
        names: Of the new cases.
        old_data: The data that the cases join, if they join any.

    Raises:
        DataError: If the old data name patients and the new cases do not.
    """
    before = (old_data or part) / "patients.csv"
    old = read_rows(before) if old_data and before.is_file() else []
    if old and not new:
        raise DataError(
            f"{before}: expected the new cases' patients, found none; say --patients "
            "FILE.csv with the columns case and patient"
        )
    if new and old_data and not old:
        listed = read_dataset(old_data).cases
        old = [{"case": case.name, "patient": case.patient} for case in listed]
    rows = old + [row for row in new if row.get("case") in names]
    if not rows:
        return
    columns = list(dict.fromkeys(key for row in rows for key in row if key))
    with (part / "patients.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file by the names of its columns.

    Raises:
        DataError: If it is not CSV in UTF-8.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return list(csv.DictReader(file))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: expected CSV in UTF-8, found {error}") from error


def check_layout(part: Path) -> None:
    """What verify would say of the layout; the images themselves it reads later.

    Raises:
        DataError: With all faults, if there are any.
    """
    faults = read_dataset(part).faults
    if faults:
        raise DataError("\n".join(faults).replace(f"{part}/", ""))


def tell(data: Path, conversion: Conversion, *, imported: int, number: int) -> str:
    """What was brought in, in one sentence."""
    return (
        f"imported {imported} cases with the channels "
        f"{', '.join(conversion.channels)} and the structures "
        f"{', '.join(name for name in conversion.labels if name != 'background')} "
        f"as {conversion.ending}; {data} now holds {number} cases"
    )
