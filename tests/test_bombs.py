"""Small files that would unpack, nest or repeat to gigabytes: a sentence each, at once.

The memory is that of the process, so that C libraries are counted, too.
"""

import gzip
import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import nibabel as nib
import numpy as np
import PIL.Image
import pytest
import tifffile
from pydicom import dcmread
from pydicom.uid import DeflatedExplicitVRLittleEndian, RLELossless

from segpipe.dataset.description import read_description
from segpipe.images.dicom.series import find_series, read_series
from segpipe.images.formats.files import read_image
from segpipe.project.errors import DataError
from segpipe.project.origin.commit import data_version
from segpipe.project.params import read_params
from segpipe.registry.mlflow_model.provenance import Provenance
from segpipe.segmenter.spec import SegmenterSpec
from segpipe.tools.importing.reading import hdf5
from segpipe.tools.segmenting.manifest import Manifest
from tests.support.dicoms import write_series
from tests.support.memory import peak_bytes

MOST_BYTES = 200e6  # that reading may need; each bomb holds 1 GB or more
BLOCK = 1 << 24


def zeros(count: int, *, head: bytes, wbits: int) -> bytes:
    """Deflated bytes: a head and that many blocks of zeros, packed once only."""
    packer = zlib.compressobj(9, wbits=wbits)
    start = packer.compress(head) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(bytes(BLOCK)) + packer.flush(zlib.Z_FULL_FLUSH)
    return start + block * count + packer.flush()


def nifti_header(shape: tuple[int, int, int], *, offset: int) -> bytes:
    header = nib.Nifti1Header()
    header.set_data_dtype(np.dtype(np.uint8))
    header.set_data_shape(shape)
    header.set_sform(np.eye(4), 1)
    header["magic"], header["vox_offset"] = b"n+1", offset
    return bytes(header.binaryblock) + bytes(4)


def far_voxels(folder: Path) -> Path:
    head = nifti_header((9, 7, 5), offset=1 << 30)
    (folder / "a.nii.gz").write_bytes(zeros(64, head=head, wbits=31))
    return folder / "a.nii.gz"


def huge_nifti(folder: Path) -> Path:
    head = nifti_header((30_000, 30_000, 30_000), offset=352)
    (folder / "a.nii.gz").write_bytes(gzip.compress(head + bytes(1000)))
    return folder / "a.nii.gz"


def huge_png(folder: Path) -> Path:
    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    size = struct.pack(">IIBBBBB", 60_000, 60_000, 16, 0, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(bytes(1000)))
    parts = [b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", size), pixels, chunk(b"IEND", b"")]
    (folder / "a.png").write_bytes(b"".join(parts))
    return folder / "a.png"


def huge_jpeg(folder: Path) -> Path:
    buffer = io.BytesIO()
    PIL.Image.fromarray(np.zeros((16, 16), np.uint8)).save(buffer, "jpeg")
    data = bytearray(buffer.getvalue())
    place = data.index(b"\xff\xc0") + 5
    data[place : place + 4] = struct.pack(">HH", 65_000, 65_000)
    (folder / "a.jpg").write_bytes(data)
    return folder / "a.jpg"


def tiff_pages(path: Path, count: int, *, size: int = 1, cyclic: bool = False) -> Path:
    """A TIFF whose pages share one pixel."""
    tags = [(256, size), (257, size), (258, 8), (259, 1), (262, 1), (273, 8)]
    tags += [(278, size), (279, 1)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    length = 2 + len(entries) + 4
    parts = [b"II*\0" + struct.pack("<I", 16) + bytes(8)]
    for number in range(count):
        last = 16 if cyclic else 0
        following = 16 + (number + 1) * length if number < count - 1 else last
        parts.append(struct.pack("<H", len(tags)) + entries)
        parts.append(struct.pack("<I", following))
    path.write_bytes(b"".join(parts))
    return path


def huge_tiff(folder: Path) -> Path:
    return tiff_pages(folder / "a.tif", 1, size=65_000)


def many_ome_planes(folder: Path) -> Path:
    array = np.arange(360, dtype=np.uint8).reshape(5, 8, 9)
    tifffile.imwrite(folder / "five.ome.tif", array, metadata={"axes": "ZYX"})
    with tifffile.TiffFile(folder / "five.ome.tif") as file:
        ome = str(file.ome_metadata).replace('SizeZ="5"', 'SizeZ="2000000000"')
    path = folder / "a.ome.tif"
    tifffile.imwrite(path, array, description=ome, metadata=None)
    return path


def many_pages(folder: Path) -> Path:
    return tiff_pages(folder / "a.tif", 70_000)


def cyclic_pages(folder: Path) -> Path:
    return tiff_pages(folder / "a.tif", 2, cyclic=True)


def huge_hdf5(folder: Path) -> Path:
    with h5py.File(folder / "a.h5", "w") as file:
        file.create_dataset("raw", (4000,) * 3, "u1", chunks=(100,) * 3)
    return folder / "a.h5"


def huge_nrrd(folder: Path) -> Path:
    head = (
        b"NRRD0005\ntype: uint8\ndimension: 3\nspace: left-posterior-superior\n"
        b"sizes: 4000 4000 4000\nspace directions: (1,0,0) (0,1,0) (0,0,1)\n"
        b"kinds: domain domain domain\nencoding: gzip\nspace origin: (0,0,0)\n\n"
    )
    (folder / "a.nrrd").write_bytes(head + gzip.compress(bytes(1000)))
    return folder / "a.nrrd"


def huge_metaimage(folder: Path) -> Path:
    data = zlib.compress(bytes(1000))
    head = (
        "ObjectType = Image\nNDims = 3\nBinaryData = True\nCompressedData = True\n"
        f"CompressedDataSize = {len(data)}\nOffset = 0 0 0\nElementSpacing = 1 1 1\n"
        "DimSize = 4000 4000 4000\nElementType = MET_UCHAR\nElementDataFile = LOCAL\n"
    )
    (folder / "a.mha").write_bytes(head.encode() + data)
    return folder / "a.mha"


def deflated(folder: Path, tag: bytes, *, before_pixels: bool) -> Path:
    """1 GB of zeros in one element of a deflated file."""
    (file,) = write_series(folder, slices=[0])
    slice_ = dcmread(file)
    slice_.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    slice_.save_as(file, enforce_file_format=True)
    data = file.read_bytes()
    # The data set follows the meta group, whose length stands in its first element.
    start = 144 + int.from_bytes(data[140:144], "little")
    plain = zlib.decompress(data[start:], -zlib.MAX_WBITS)
    place = plain.index(b"\xe0\x7f\x10\x00")
    head = plain[:place] + tag + b"OB\0\0" + struct.pack("<I", 64 * BLOCK)
    assert before_pixels == (tag < b"\xe0\x7f")
    file.write_bytes(data[:start] + zeros(64, head=head, wbits=-zlib.MAX_WBITS))
    return folder


def deflated_pixels(folder: Path) -> Path:
    return deflated(folder / "d", b"\xe0\x7f\x10\x00", before_pixels=False)


def deflated_header(folder: Path) -> Path:
    return deflated(folder / "d", b"\x09\x52\x10\x10", before_pixels=True)


def huge_rle(folder: Path) -> Path:
    (file,) = write_series(folder / "d", slices=[0])
    slice_ = dcmread(file)
    slice_.compress(RLELossless)
    slice_.Rows = slice_.Columns = 65_000
    slice_.save_as(file)
    return folder / "d"


TOO_MANY = "expected as many voxels as"
BOMBS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "NIfTI, far voxels": (far_voxels, "found them from byte 1073741824 on"),
    "NIfTI, shape": (huge_nifti, "the file is cut off"),
    "PNG": (huge_png, "expected at most 178956970 pixels"),
    "JPEG": (huge_jpeg, "expected at most 178956970 pixels"),
    "TIFF, shape": (huge_tiff, TOO_MANY),
    "TIFF, pages": (many_pages, "expected at most 65536 pages, found 70000"),
    "TIFF, OME header": (many_ome_planes, "at most 65536 pages, found 2000000000"),
    "TIFF, circle of pages": (cyclic_pages, "expected a whole tif image"),
    "HDF5": (huge_hdf5, TOO_MANY),
    "NRRD": (huge_nrrd, TOO_MANY),
    "MetaImage": (huge_metaimage, TOO_MANY),
    "DICOM, deflated pixels": (deflated_pixels, "found more in a deflated file"),
    "DICOM, deflated header": (deflated_header, "found more in a deflated file"),
    "DICOM, RLE": (huge_rle, TOO_MANY),
}


def read(path: Path) -> object:
    if path.is_dir():
        (series,) = find_series(path.iterdir())
        return read_series(series)
    return (
        hdf5.read_image(path, key="raw") if path.suffix == ".h5" else read_image(path)
    )


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_in_a_sentence_and_never_unpacked(
    name: str, tmp_path: Path
) -> None:
    make, words = BOMBS[name]
    path = make(tmp_path)

    with peak_bytes() as needed, pytest.raises(DataError) as caught:
        read(path)

    told = str(caught.value)
    assert told.startswith(str(path))
    assert words in told
    assert "; " in told  # the mend
    assert "\n" not in told
    assert needed[0] < MOST_BYTES


DEEP = "[" * 100_000
DOCUMENTS: dict[str, Callable[[Path], object]] = {
    "params.yaml": lambda folder: read_params(folder / "params.yaml"),
    "dvc.lock": data_version,
    "data.dvc": data_version,
    "dataset.json": read_description,
    "spec.json": lambda folder: SegmenterSpec.read(folder / "spec.json"),
    "provenance.json": lambda folder: Provenance.read(folder / "provenance.json"),
    "x.json": lambda folder: Manifest.read(folder / "x.json"),
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_deep_document_is_refused_in_a_sentence(name: str, tmp_path: Path) -> None:
    """The parser of YAML in C overflows its stack, which ends the process."""
    (tmp_path / name).write_text(DEEP)

    with pytest.raises(DataError, match=f"{name}: expected "):
        DOCUMENTS[name](tmp_path)
