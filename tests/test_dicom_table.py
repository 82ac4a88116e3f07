"""Real DICOM folders: a right load or a DataError, as tests/dicom.csv says of each.

A row is a folder, or one file of a folder that mixes several kinds. The words are those
of the refusal, of the one warning, or the names of the structures.
"""

import csv
import os
from pathlib import Path

import pytest

from segpipe.images.dicom.file import is_dicom
from segpipe.images.dicom.rtstruct import read_rtstruct
from segpipe.images.dicom.seg.reading import read_seg
from segpipe.images.dicom.series import DicomImage, find_series, read_series
from segpipe.images.grid import Grid
from segpipe.project.errors import DataError

REAL = os.environ.get("SEGPIPE_REAL_DATA")
ROOT = Path(REAL or "")
TABLE = Path(__file__).with_name("dicom.csv")

pytestmark = pytest.mark.skipif(
    REAL is None, reason="the files lie where SEGPIPE_REAL_DATA says, which is not set"
)


def rows() -> list[dict[str, str]]:
    with TABLE.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_table_has_every_folder_and_every_single_file() -> None:
    found = {file for part in ("dicom", "nasty") for file in (ROOT / part).rglob("*")}
    dicoms = {file for file in found if is_dicom(file)}
    listed = {ROOT / row["folder"] for row in rows()}

    assert all((ROOT / row["folder"]).exists() for row in rows())
    assert {file for file in dicoms if not listed & {file, file.parent}} == set()


def image_in(folder: Path) -> DicomImage:
    """The only series of images in a folder, without the files that have own rows."""
    own = {ROOT / row["folder"] for row in rows()}
    files = [file for file in folder.iterdir() if is_dicom(file) and file not in own]
    (series,) = find_series(files)
    return read_series(series)


def read(path: Path, kind: str) -> tuple[Grid, list[str]]:
    """Where the voxels lie, and the words: warnings, or names of structures."""
    if kind == "image":
        if path.is_dir():
            found = image_in(path)
        else:
            (series,) = find_series([path])
            found = read_series(series)
        return found.image.grid, list(found.warnings)
    (file,) = [path] if path.is_file() else filter(is_dicom, path.iterdir())
    if kind == "seg":
        labels = read_seg(file)
    else:
        labels = read_rtstruct(file, image_in(path.parent))
    return labels.label.grid, list(labels.structures)


@pytest.mark.parametrize("row", rows(), ids=lambda row: row["folder"])
def test_a_folder_loads_rightly_or_is_refused_with_words(row: dict[str, str]) -> None:
    path = ROOT / row["folder"]
    if row["outcome"] == "refused":
        with pytest.raises(DataError) as caught:
            read(path, row["as"])
        told = str(caught.value)
        assert told.startswith(str(path))
        assert ": expected " in told
        assert "; " in told  # the mend
        assert row["words"] in told
        return
    grid, words = read(path, row["as"])

    assert "x".join(map(str, grid.shape)) == row["shape"]
    assert ", ".join(f"{step:.3f}" for step in grid.spacing) == row["spacing"]
    assert len(words) == bool(row["words"])
    assert all(row["words"] in told for told in words)
