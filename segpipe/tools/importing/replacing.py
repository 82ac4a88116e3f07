"""Replace the data folder as a whole, or leave it unchanged."""

import csv
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from segpipe.dataset.description import Description, read_description
from segpipe.dataset.layout import read_dataset
from segpipe.project.documents import write_json, write_text
from segpipe.project.errors import DataError
from segpipe.project.tables import table_text, unmarked
from segpipe.tools.importing.conversion import Conversion, ImportOptions
from segpipe.tools.importing.phantom import is_phantom


def refuse_loss(data: Path, options: ImportOptions) -> None:
    """Refuse an import that would lose data without --replace or --add.

    Raises:
        DataError: If the data folder holds other data than the unchanged example and
            neither option is given, or if both are given.
    """
    if options.replace and options.add:
        raise DataError("expected --replace or --add, found both; give one")
    if not _is_filled(data) or options.replace or options.add or is_phantom(data):
        return
    raise DataError(
        f"{data}: expected an empty folder or the untouched example, found other data; "
        "use --add to join them, or --replace to replace them (they stay in DVC's "
        "cache if they were committed)"
    )


def read_existing(data: Path, options: ImportOptions) -> Description | None:
    """The description of the data that the new cases join, or None."""
    return read_description(data) if options.add and _is_filled(data) else None


def _is_filled(data: Path) -> bool:
    return data.is_dir() and any(data.iterdir())


@contextmanager
def sole_import(data: Path) -> Iterator[None]:
    """Exclude other imports, and undo one that was killed between its two renames.

    The existing data must be back before anything is decided by them.

    Raises:
        DataError: If another import into this folder is at work.
    """
    data.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(data.parent, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _recover(data)
        yield
    except BlockingIOError as error:
        raise DataError(
            f"{data}: expected no other import at work, found one; wait for its end "
            "and repeat"
        ) from error
    finally:
        os.close(descriptor)


def _recover(data: Path) -> None:
    aside = _aside(data)
    if aside.exists() and not data.exists():
        aside.rename(data)


def _aside(data: Path) -> Path:
    """Where the old data are while the new ones take their place."""
    return data.with_name(f".{data.name}.before-import")


@contextmanager
def replaced(data: Path) -> Iterator[Path]:
    """Yield a folder to write into, which replaces the data folder if nothing fails."""
    part, aside = data.with_name(f".{data.name}.import"), _aside(data)
    _recover(data)
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


def link_existing(data: Path, part: Path, names: list[str]) -> None:
    """Link the files of the existing cases into the folder that replaces the data.

    Args:
        data: The data folder.
        part: The folder that will replace it.
        names: Names of the new cases.

    Raises:
        DataError: If the existing data have faults, or a case with the name of a new
            one.
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
    for file in ("dataset.json", "patients.csv"):  # never written through a link
        (part / file).unlink(missing_ok=True)


def _link(source: str, goal: str) -> None:
    try:
        os.link(source, goal)
    except OSError:  # not on the same file system
        shutil.copy2(source, goal)


def write_description(
    part: Path, conversion: Conversion, *, name: str, number: int
) -> None:
    """Write dataset.json for a data set of this name with this number of cases."""
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
    """Write patients.csv for the old and the new cases, if either has one.

    Args:
        part: The folder to write into.
        new: Rows of the new cases; rows of other cases are left out.
        names: Names of the new cases.
        old_data: The data that the new cases join, if any.

    Raises:
        DataError: If the old data name patients and the new cases do not.
    """
    before = (old_data or part) / "patients.csv"
    old = read_rows(before) if old_data and before.is_file() else []
    if old and not new:
        raise DataError(
            f"{before}: expected the new cases' patients, found none; give --patients "
            "FILE.csv with the columns case and patient"
        )
    if new and old_data and not old:
        listed = read_dataset(old_data).cases
        old = [{"case": case.name, "patient": case.patient} for case in listed]
    rows = old + [row for row in new if row.get("case") in names]
    if not rows:
        return
    columns = list(dict.fromkeys(key for row in rows for key in row if key))
    write_text(part / "patients.csv", table_text(columns, rows, end="\r\n"))


def read_rows(path: Path) -> list[dict[str, str]]:
    """Read the rows of a CSV file, each by the names of the columns.

    Raises:
        DataError: If the file is not CSV in UTF-8.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return [_unmarked_row(row) for row in csv.DictReader(file)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: expected CSV in UTF-8, found {error}") from error


def _unmarked_row(row: dict[str, str]) -> dict[str, str]:
    """The row without the apostrophes that keep a spreadsheet from computing."""
    return {
        unmarked(key) if key else key: unmarked(cell) if isinstance(cell, str) else cell
        for key, cell in row.items()
    }


def check_layout(part: Path) -> None:
    """Check the layout as verify does, without reading images.

    Raises:
        DataError: If there are faults; lists all of them.
    """
    faults = read_dataset(part).faults
    if faults:
        raise DataError("\n".join(faults).replace(f"{part}/", ""))


def describe_import(
    data: Path, conversion: Conversion, *, imported: int, number: int
) -> str:
    """One sentence on what was imported."""
    return (
        f"imported {imported} cases with the channels "
        f"{', '.join(conversion.channels)} and the structures "
        f"{', '.join(name for name in conversion.labels if name != 'background')} "
        f"as {conversion.ending}; {data} now holds {number} cases"
    )
