"""Merge all labels of one DICOM series into one label map."""

from pathlib import Path

import numpy as np
from jaxtyping import Int, Integer

from segpipe.images.dicom.file import read_header, word_of
from segpipe.images.dicom.rtstruct import read_rtstruct
from segpipe.images.dicom.seg.reading import SegLabels, read_seg
from segpipe.images.dicom.series import DicomImage
from segpipe.images.volume import LabelMap
from segpipe.project.errors import DataError


def read_labels(
    paths: tuple[Path, ...], image: DicomImage, *, only: frozenset[str]
) -> SegLabels:
    """Read all labels of one image as one label map on its grid.

    Args:
        paths: DICOM-SEG and RTSTRUCT files.
        image: The image that they were drawn on.
        only: Names of the structures to read; all if empty.

    Raises:
        DataError: If a file cannot be read, or if two files hold the same structure or
            structures that overlap.
    """
    array = np.zeros(image.image.grid.shape, np.int32)
    structures: dict[str, int] = {}
    owners: dict[str, Path] = {}
    left_out: dict[str, None] = {}
    for path in paths:
        part = _read_label(path, image, only)
        left_out |= dict.fromkeys(part.left_out)
        twice = [name for name in part.structures if name in structures]
        if twice:
            raise _contradiction(owners[twice[0]], path, f"{twice[0]!r} in both")
        drawn = part.label.array != 0
        shared = drawn & (array != 0)
        if shared.any():
            one = _name(structures, int(array[shared][0]))
            other = _name(part.structures, int(part.label.array[shared][0]))
            count = int(shared.sum())
            words = f"{one!r} and {other!r} overlapping in {count} voxels"
            raise _contradiction(owners[one], path, words)
        start = len(structures) + 1
        new = {name: value for value, name in enumerate(part.structures, start)}
        array[drawn] = renumbered(part.label.array, part.structures, new)[drawn]
        structures |= new
        owners |= dict.fromkeys(new, path)
    return SegLabels(LabelMap(array, image.image.grid), structures, tuple(left_out))


def _read_label(path: Path, image: DicomImage, only: frozenset[str]) -> SegLabels:
    header = read_header(path, ["Modality"])
    if word_of(path, header, "Modality") == "RTSTRUCT":
        return read_rtstruct(path, image, only=only)
    return read_seg(path, image, only=only)


def _contradiction(one: Path, other: Path, found: str) -> DataError:
    return DataError(
        f"{other}: expected one label of each structure beside {one} for the same "
        f"series, found {found}; leave one of the two files out, or import one of the "
        "structures by --structure NAME=VALUE"
    )


def _name(structures: dict[str, int], value: int) -> str:
    return next(name for name, n in structures.items() if n == value)


def renumbered(
    array: Integer[np.ndarray, "i j k"],
    structures: dict[str, int],
    values: dict[str, int],
) -> Int[np.ndarray, "i j k"]:
    """The label map with other values for the same names.

    Args:
        array: The label map.
        structures: The value of each structure in it.
        values: The new value of each structure.
    """
    table = np.zeros(max(structures.values(), default=0) + 1, np.int32)
    for name, number in structures.items():
        table[number] = values[name]
    other: Int[np.ndarray, "i j k"] = table[array]
    return other
