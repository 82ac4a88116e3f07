"""Tell which of the written cases the data hold already."""

import filecmp
import logging
from collections.abc import Iterator, Mapping, Sequence
from glob import escape
from pathlib import Path

import numpy as np

from segpipe.dataset.layout import OBSERVERS, CaseFiles, Dataset
from segpipe.images.formats.files import read_image, read_label
from segpipe.images.grid import SAME_GRID
from segpipe.project.errors import DataError

log = logging.getLogger(__name__)


def drop_known(
    part: Path,
    names: Sequence[str],
    rows: Sequence[Mapping[str, str]],
    data: Path,
    old: Dataset,
) -> list[str]:
    """Delete the written cases that the data hold with the same content.

    So a delivery can be repeated: nobody gets in twice.

    Args:
        part: The folder that the new cases were written into.
        names: Their names.
        rows: Rows of patients.csv for them; a cell that is missing says nothing.
        data: The data folder.
        old: The data set in it.

    Returns:
        The names of the cases that are new.

    Raises:
        DataError: If the data hold other content under the name of a new case.
    """
    known = {case.name.casefold(): case for case in old.cases}
    stated = {row.get("case", ""): row for row in rows}
    new, other = [], {}
    for name in names:
        case = known.get(name.casefold())
        if case is None:
            new.append(name)
            continue
        files = _written_files(part, name, old.file_ending)
        if not _agrees(stated.get(name, {}), case):
            other[name] = data / "patients.csv"
        elif differing := next(_differing(part, files, data, case), None):
            other[name] = data / differing
        else:
            _delete(part, files)
    if other:
        raise DataError(
            f"{data}: expected new cases, or the content of those that are there, "
            f"found another one for {', '.join(list(other)[:8])} (in "
            f"{next(iter(other.values()))}); copy a correction over that file, and "
            "give the case of another patient a new name"
        )
    return new


def drop_known_series(
    part: Path, rows: Sequence[Mapping[str, str]], data: Path, old: Dataset
) -> list[str]:
    """Delete the written cases that the data hold for the same patient by any name.

    Args:
        part: The folder that the new cases were written into.
        rows: Case and patient of each.
        data: The data folder.
        old: The data set in it.

    Returns:
        The names of the cases that are new.
    """
    new = []
    for name, patient in ((row["case"], row["patient"]) for row in rows):
        files = _written_files(part, name, old.file_ending)
        alike = [case for case in old.cases if case.patient == patient]
        first = [next(_differing(part, files, data, case), None) for case in alike]
        if None in first:
            _delete(part, files)
            continue
        new.append(name)
        for case, file in zip(alike, first, strict=True):
            if file == case.label:
                log.warning(
                    "%s: the same image as %s with other labels; if they are a "
                    "correction, delete the older case",
                    name,
                    case.name,
                )
    return new


def _written_files(part: Path, name: str, ending: str) -> list[str]:
    """The images, the label map and the instances of a case that was just written."""
    pattern = f"{escape(name)}_[0-9][0-9][0-9][0-9]{ending}"
    found = sorted((part / "imagesTr").glob(pattern))
    images = [f"imagesTr/{path.name}" for path in found]
    observers = sorted(path.name for path in (part / OBSERVERS).glob("*"))
    folders = ["labelsTr", "instancesTr", *(f"{OBSERVERS}/{one}" for one in observers)]
    drawn = [f"{folder}/{name}{ending}" for folder in folders]
    return images + [file for file in drawn if (part / file).is_file()]


def _delete(part: Path, files: Sequence[str]) -> None:
    for file in files:
        (part / file).unlink()


def _agrees(row: Mapping[str, str], case: CaseFiles) -> bool:
    """Whether all that a row states is what the data say."""
    said = {**case.attributes, "patient": case.patient, "case": row.get("case", "")}
    return all(said.get(key) == cell for key, cell in row.items() if key and cell)


def _channels(files: Sequence[str]) -> list[str]:
    """The numbers of the channels of images, with their ending."""
    return [file.rpartition("_")[2] for file in files if file.startswith("imagesTr/")]


def _differing(
    part: Path, files: Sequence[str], data: Path, case: CaseFiles
) -> Iterator[str]:
    """The files of a case in the data whose content is not that of the new ones."""
    there = [*case.images, case.label, *([case.instances] if case.instances else [])]
    there += [case.observers[name] for name in sorted(case.observers)]
    if len(there) != len(files):
        yield case.label
        return
    if _channels(files) != _channels(there):
        yield case.images[0]
        return
    for new, old in zip(files, there, strict=True):
        if filecmp.cmp(part / new, data / old, shallow=False):
            continue
        read = read_image if old in case.images else read_label
        one, other = read(part / new), read(data / old)
        same = one.grid.matches(other.grid, tolerance=SAME_GRID)
        if not (same and np.array_equal(one.array, other.array)):
            yield old
