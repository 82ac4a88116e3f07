"""Replace the data folder as a whole, or leave it unchanged."""

import csv
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from segpipe.dataset.description import Description, read_description
from segpipe.dataset.layout import Dataset, read_dataset
from segpipe.project.documents import sole_writer, write_json, write_text
from segpipe.project.errors import DataError
from segpipe.project.tables import table_text, unmarked
from segpipe.tools.importing.conversion import Conversion, ImportOptions
from segpipe.tools.importing.finding.sources import shown
from segpipe.tools.importing.writing.ledger import LEDGER


def read_existing(data: Path, options: ImportOptions) -> Description | None:
    """The description of the data that the new cases join, or None."""
    return read_description(data) if options.add and is_filled(data) else None


def is_filled(data: Path) -> bool:
    """Whether there is a data folder with anything in it."""
    return data.is_dir() and any(data.iterdir())


@contextmanager
def sole_import(data: Path) -> Iterator[None]:
    """Exclude other imports, and undo or finish one that was killed.

    The existing data must be back before anything is decided by them.

    Raises:
        DataError: If another import into this folder is at work, or if the data were
            written anew since an import was killed.
    """
    real = data.resolve()
    with sole_writer(real):
        _settle(real)
        yield


@contextmanager
def replaced(data: Path) -> Iterator[Path]:
    """Yield a folder to write into, which replaces the data folder if nothing fails.

    A block that deletes the folder leaves the data as they are. The steps at the end:

    1. the old data are renamed to ``.data.before-import``;
    2. the new data are renamed to ``data``;
    3. the old data are renamed to ``.data.import``, as what may be deleted;
    4. they are deleted.

    Killed between 1 and 2, the next import undoes step 1; killed later, it finishes.
    """
    data = data.resolve()  # a link stays, and the data stay on their file system
    part = _part(data)
    _settle(data)
    part.mkdir(parents=True)
    try:
        yield part
    except BaseException:
        shutil.rmtree(part)
        raise
    if not part.exists():
        return
    if data.exists():
        data.rename(_aside(data))
    part.rename(data)
    _settle(data)


def _part(data: Path) -> Path:
    """Where new data are written, and old ones deleted: never needed after a kill."""
    return data.with_name(f".{data.name}.import")


def _aside(data: Path) -> Path:
    """Where the old data are while the new ones take their place."""
    return data.with_name(f".{data.name}.before-import")


def _settle(data: Path) -> None:
    """Bring the data back if no new ones took their place; delete what is left over."""
    part, aside = _part(data), _aside(data)
    if aside.exists() and not data.exists():
        aside.rename(data)
    elif aside.exists() and part.exists():
        raise DataError(
            f"{aside}: expected no data that a killed import set aside beside new ones "
            f"in {data}, found both; if these lack nothing, delete {aside}, or else "
            f"delete {data}, and repeat"
        )
    elif aside.exists():
        aside.rename(part)
    if part.exists():
        shutil.rmtree(part)


def expect_whole(data: Path) -> Dataset:
    """The data set that new cases can join.

    Raises:
        DataError: If its layout has faults; lists all of them.
    """
    dataset = read_dataset(data, "zeros")
    if dataset.faults:
        raise DataError(
            f"{data}: expected a whole data set to add to, found:\n"
            + "\n".join(f"  {fault}" for fault in dataset.faults)
        )
    return dataset


def link_existing(data: Path, part: Path) -> None:
    """Link the files of the existing cases into the folder that replaces the data."""
    shutil.copytree(data, part, copy_function=_link, symlinks=True, dirs_exist_ok=True)
    # Never written through a link.
    for file in ("dataset.json", "patients.csv", LEDGER):
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
    if conversion.regions_class_order is not None:
        document["regions_class_order"] = conversion.regions_class_order
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
        listed = read_dataset(old_data, "zeros").cases
        old = [{"case": case.name, "patient": case.patient} for case in listed]
    rows = old + [row for row in new if row.get("case") in names]
    if not rows:
        return
    columns = list(dict.fromkeys(key for row in rows for key in row if key))
    write_text(part / "patients.csv", table_text(columns, rows, end="\r\n"))


def read_rows(path: Path) -> list[dict[str, str]]:
    """Read the rows of a CSV or TSV file, each by the names of the columns.

    Raises:
        DataError: If the file is not CSV in UTF-8.
    """
    tabs = path.suffix.lower() == ".tsv"
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file, delimiter="\t" if tabs else ",")
            return [_unmarked_row(row) for row in rows]
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
    faults = read_dataset(part, "zeros").faults
    if faults:
        raise DataError("\n".join(faults).replace(f"{part}/", ""))


def describe_import(
    data: Path, conversion: Conversion, *, imported: int, known: int, number: int
) -> str:
    """One sentence on what was imported, and on the cases that were left out."""
    left_out = f"; {known} more are in {data} already" if known else ""
    return (
        f"imported {imported} cases with the channels "
        f"{', '.join(conversion.channels)} and the structures "
        f"{', '.join(name for name in conversion.labels if name != 'background')} "
        f"as {conversion.ending}{left_out}; {data} now holds {number} cases"
    )


def describe_gaps(lacking: Sequence[str], unlabelled: int) -> str:
    """What the sources of an import did not hold, to be added to its sentence."""
    said = ""
    if lacking:
        said += (
            f"; {len(lacking)} cases lack a channel ({shown(lacking)}), which verify "
            "refuses unless params.yaml says verify.missing_channels: zeros"
        )
    if unlabelled:
        said += f"; {unlabelled} images without a label were left out"
    return said


def describe_nothing(data: Path, *, known: int) -> str:
    """One sentence on an import of cases that the data hold already."""
    return f"all {known} cases of this delivery are in {data} already"
