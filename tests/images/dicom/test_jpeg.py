"""JPEG frames that would end the process are found before they are decoded."""

from pathlib import Path

import gdcm
import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate, generate_frames

from segpipe.images.dicom.jpeg import jpeg_fault
from tests.support.dicoms import VOXELS, recompress, write_series


def slice_of(folder: Path) -> Dataset:
    """A slice of 20 x 16 pixels as gdcm compresses it."""
    file = write_series(folder, voxels=np.tile(VOXELS, (4, 4, 1)), slices=[0])[0]
    recompress(file, gdcm.TransferSyntax.JPEGLosslessProcess14_1)
    return dcmread(file)


def test_a_sound_frame_has_no_fault(tmp_path: Path) -> None:
    assert jpeg_fault(slice_of(tmp_path)) is None


@pytest.mark.parametrize(
    ("marker", "place", "value", "words"),
    [
        (0xC3, 4, 55, "of 55 bits"),
        (0xC3, 6, 99, "a JPEG frame of (99, 20) pixels"),
        (0xC3, 8, 99, "a JPEG frame of (16, 99) pixels"),
        (0xC3, 1, 0xC2, "of another process"),
        (0xC4, 5, 3, "a damaged code table"),  # three codes of one bit
        (0xDA, 4, 3, "a damaged scan header"),
        (0xDA, 7, 9, "a damaged scan header"),
        (0xD9, 1, 0xD8, "cut off or damaged"),
        (0xD8, 1, 0, "without pixels"),
    ],
)
def test_a_damaged_header_is_named(
    marker: int, place: int, value: int, words: str, tmp_path: Path
) -> None:
    """The marker's segment starts two bytes after it: ITU-T T.81, section B.1.1.4."""
    slice_ = slice_of(tmp_path)
    (frame,) = generate_frames(slice_.PixelData, number_of_frames=1)
    damaged = bytearray(frame)
    damaged[damaged.rindex(bytes([0xFF, marker])) + place] = value
    slice_.PixelData = encapsulate([bytes(damaged)])

    assert words in str(jpeg_fault(slice_))


def test_every_cut_is_found(tmp_path: Path) -> None:
    slice_ = slice_of(tmp_path)
    (frame,) = generate_frames(slice_.PixelData, number_of_frames=1)
    whole = frame.rstrip(b"\0")
    faults = []
    for length in range(2, len(whole)):
        slice_.PixelData = encapsulate([whole[:length]])
        faults.append(jpeg_fault(slice_))

    assert all(faults)
