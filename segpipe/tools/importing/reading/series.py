"""Series: DICOM images in folders, whose labels are files of another format."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from segpipe.images.dicom.file import is_dicom
from segpipe.images.dicom.series import (
    NO_IMAGES,
    Series,
    find_series,
    read_patient_id,
    read_series,
)
from segpipe.images.grid import SAME_GRID, Grid
from segpipe.images.volume import Image, LabelMap
from segpipe.project.errors import DataError

DIGITS = 12  # of a patient's digest: of a million, two agree once in 560 times


def list_folders(source: Path) -> Iterator[str]:
    """Yield the folders that hold DICOM, at any depth, each with a slash at its end."""
    seen: set[Path] = set()
    for path in sorted(source.rglob("*")):
        inside = path.relative_to(source)
        hidden = any(part.startswith(".") for part in inside.parts)
        if hidden or path.parent in seen or not is_dicom(path):
            continue
        for folder in (path.parent, *path.parent.parents):
            if folder in seen or folder == source:
                break
            seen.add(folder)
    for folder in sorted(seen):
        yield folder.relative_to(source).as_posix() + "/"


def read_folder(folder: Path) -> Image:
    """Read the only series of images in a folder and the folders in it.

    Raises:
        DataError: If there is none, or several, or as for read_series.
    """
    return read_series(_only_series(folder)).image


def read_pseudonym(folder: Path) -> str:
    """The pseudonym of the patient of a folder's series; empty without a PatientID."""
    patient = read_patient_id(_only_series(folder))
    return pseudonym_of(patient) if patient else ""


def pseudonym_of(patient_id: str) -> str:
    """The beginning of the SHA-256 of a PatientID: the same for all studies."""
    return hashlib.sha256(patient_id.encode()).hexdigest()[:DIGITS]


def on_series(path: Path, label: LabelMap, grid: Grid) -> LabelMap:
    """The label map on the grid of a series, with its axes turned if need be.

    Programs that convert DICOM turn axes, which changes no place in the world.

    Args:
        path: The label map, for the error.
        label: What it holds.
        grid: The grid of the series.

    Raises:
        DataError: If the voxels of the two do not lie at the same places.
    """
    own, turn = label.grid.to_canonical, grid.to_canonical
    mine, wanted = label.grid.reoriented(own), grid.reoriented(turn)
    if mine.unit != wanted.unit or not mine.matches(wanted, tolerance=SAME_GRID):
        shift = mine.distance(wanted)
        found = f"{shift:.3g} mm off" if shift < float("inf") else str(label.grid.shape)
        raise DataError(
            f"{path}: expected the grid of its DICOM series, shape {grid.shape}, found "
            f"another: {found}; export the mask on the grid of the series (3D Slicer: "
            "Segmentations, Export, with the series as reference volume)"
        )
    return LabelMap(turn.undo(own.apply(label.array)), grid)


def _only_series(folder: Path) -> Series:
    files = (
        path
        for path in sorted(folder.rglob("*"))
        if not path.name.startswith(".") and is_dicom(path)
    )
    found = [one for one in find_series(files) if one.modality not in NO_IMAGES]
    if len(found) != 1:
        raise DataError(
            f"{folder}: expected one series of images, found {len(found)}; give each "
            "series a folder of its own"
        )
    return found[0]
