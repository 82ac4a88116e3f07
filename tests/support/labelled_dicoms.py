"""Folders of DICOM with images, segmentations and structure sets of known voxels."""

from pathlib import Path

import numpy as np
from pydicom import Dataset

from segpipe.images.dicom.seg.writing import Algorithm, write_seg
from segpipe.images.dicom.series import DicomImage, find_series, read_series
from tests.support.dicoms import SERIES, SHAPE, VOXELS, Change, legend, write_series
from tests.support.structure_sets import box, contour_of, write_structure_set

NAMES = {1: "liver", 2: "spleen"}


def uid(number: int) -> str:
    """UID of the series with that number."""
    return f"{SERIES}.8{number}"


def add_series(
    folder: Path,
    number: int,
    *,
    patient: str = "MRN-55021",
    change: Change = lambda slice_, k: None,
) -> DicomImage:
    """Write a CT series of its own UIDs and voxels; and read it."""

    def own(slice_: Dataset, k: int) -> None:
        slice_.SeriesInstanceUID = uid(number)
        slice_.SOPInstanceUID = f"{uid(number)}.{k + 1}"
        slice_.FrameOfReferenceUID = f"{uid(number)}.99"
        slice_.PatientID = patient
        change(slice_, k)

    files = write_series(folder, voxels=VOXELS + np.int16(number), change=own)
    (series,) = (s for s in find_series(files) if s.uid == uid(number))
    return read_series(series)


def drawn(*, liver: bool = True, spleen: bool = True) -> np.ndarray:
    """Liver 1 and spleen 2; the first and the last slice are empty."""
    array = np.zeros(SHAPE, np.int16)
    if liver:
        array[1:4, 0:2, 1:3] = 1
    if spleen:
        array[2:5, 2:4, 3:5] = 2
    return array


def add_seg(
    path: Path, image: DicomImage, array: np.ndarray, names: dict[int, str] = NAMES
) -> Path:
    """Write a segmentation as another program would: its file tells it from others."""
    write_seg(
        path,
        array,
        image,
        legend=legend(names),
        algorithm=Algorithm("phantom", "1", path.name),
    )
    return path


def add_rtstruct(path: Path, image: DicomImage, name: str = "cord") -> Path:
    """Write a structure set with one region: i 3 and 4, j 0 and 1, of slice 4."""
    square = contour_of(image, box((2.5, -0.5), (4.5, 1.5), k=4))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_structure_set(path, image, {name: [square]})
    return path
