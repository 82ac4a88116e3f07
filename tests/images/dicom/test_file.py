"""One DICOM file: known, decompressed, or refused, whatever the damage."""

from pathlib import Path

import gdcm
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.uid import JPEGLSLossless, RLELossless

from segpipe.images.dicom.file import is_dicom, read_header
from segpipe.images.dicom.series import find_series, read_series
from segpipe.project.errors import DataError
from tests.support.dicoms import SECRETS, VOXELS, load, recompress, write_series


def test_dicom_is_known_by_its_magic_or_by_its_name(tmp_path: Path) -> None:
    (file,) = write_series(tmp_path, slices=[0])
    bare = file.rename(tmp_path / "IM000001")
    (tmp_path / "notes.txt").write_text("no DICOM")
    (tmp_path / "notes.dcm").write_text("no DICOM")

    assert is_dicom(bare)
    assert is_dicom(tmp_path / "notes.dcm")
    assert not is_dicom(tmp_path / "notes.txt")
    assert not is_dicom(tmp_path)
    with pytest.raises(DataError, match=r"notes.dcm: expected a DICOM file, found no"):
        find_series([tmp_path / "notes.dcm"])


@pytest.mark.parametrize(
    "syntax",
    [
        "1.2.840.10008.1.2.5",
        "1.2.840.10008.1.2.4.80",
        gdcm.TransferSyntax.JPEG2000Lossless,
        gdcm.TransferSyntax.JPEGLosslessProcess14_1,
        gdcm.TransferSyntax.JPEGLSLossless,
        gdcm.TransferSyntax.DeflatedExplicitVRLittleEndian,
    ],
)
def test_compressed_slices_come_back_exactly(syntax: str | int, tmp_path: Path) -> None:
    values = np.random.default_rng(2).integers(-900, 900, (16, 16, 3)).astype(np.int16)
    for file in write_series(tmp_path, voxels=values):
        if isinstance(syntax, str):
            slice_ = dcmread(file)
            slice_.compress({RLELossless: RLELossless}.get(syntax, JPEGLSLossless))
            slice_.save_as(file)
        else:
            recompress(file, syntax)

    assert (load(tmp_path).image.array[0] == values).all()


@pytest.mark.parametrize("syntax", [None, gdcm.TransferSyntax.JPEGLosslessProcess14_1])
@given(data=st.data())
@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_a_damaged_file_is_read_or_refused_and_nothing_else(
    syntax: int | None, data: st.DataObject, tmp_path: Path
) -> None:
    folder = tmp_path / "series"
    (file, *_) = write_series(folder, voxels=np.tile(VOXELS, (4, 4, 1)))
    if syntax is not None:
        recompress(file, syntax)
    content = bytearray(file.read_bytes())
    for place in data.draw(st.lists(st.integers(128, len(content) - 1), max_size=4)):
        content[place] = data.draw(st.integers(0, 255))
    file.write_bytes(content[: data.draw(st.integers(132, len(content)))])
    told = ""
    try:
        for series in find_series(folder.iterdir()):
            read_series(series)
    except DataError as error:
        told = str(error)

    assert not any(secret in told for secret in SECRETS)


def test_sequences_thousands_deep_are_refused(tmp_path: Path) -> None:
    """PS3.5, section 7.5.2: an item of a sequence may hold a sequence."""
    (file, *_) = write_series(tmp_path)
    sequence = b"\x40\x00\x30\xa7SQ\0\0\xff\xff\xff\xff"
    item = b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    ends = b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0"
    bare = dcmread(file)
    del bare.PixelData
    bare.save_as(file)
    file.write_bytes(file.read_bytes() + (sequence + item) * 5000 + ends * 5000)

    with pytest.raises(DataError, match="expected a whole DICOM file"):
        read_header(file)
