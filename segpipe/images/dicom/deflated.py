"""Deflated DICOM files, unpacked no further than their header promises."""

import io
import zlib
from pathlib import Path
from typing import Any

from pydicom import Dataset
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.filereader import read_dataset, read_preamble
from pydicom.tag import BaseTag, Tag
from pydicom.uid import DeflatedExplicitVRLittleEndian

from segpipe.project.errors import DataError

MAGIC = 128, b"DICM"  # PS3.10, section 7.1
META_GROUP, PIXEL_GROUP = 0x0002, 0x7FE0
LENGTH = b"\2\0\0\0UL\4\0"  # how the length of the meta group begins
MOST_META = 1 << 16  # bytes in which the transfer syntax is looked for
MOST_HEADER = 1 << 26  # bytes of everything but the pixels
PIECE = 1 << 20  # bytes that are unpacked at a time


def is_deflated(path: Path) -> bool:
    """Whether a file is DICOM whose data set is deflated: PS3.5, section A.5."""
    place, magic = MAGIC
    with path.open("rb") as file:
        start = file.read(place + len(magic) + len(LENGTH) + 4)
        if start[place : place + len(magic)] != magic:
            return False
        known = start[place + len(magic) : -4] == LENGTH
        size = int.from_bytes(start[-4:], "little") if known else MOST_META
        meta = file.read(min(size, MOST_META))
    return str(DeflatedExplicitVRLittleEndian).encode() in meta


def read_deflated(path: Path, *, pixels: bool, tags: list[str] | None) -> Dataset:
    """Read a deflated file as dcmread does, with bounds on what is unpacked.

    Raises:
        DataError: If more is in it than its pixels and 64 MiB.
        EOFError: If it is cut off.
    """

    def other_group(tag: BaseTag, vr: str | None, length: int) -> bool:
        return tag.group != META_GROUP

    def at_pixels(tag: BaseTag, vr: str | None, length: int) -> bool:
        reached.extend([True] * (tag.group >= PIXEL_GROUP))
        return bool(reached)

    with path.open("rb") as file:
        preamble = read_preamble(file, force=False)
        meta = read_dataset(file, False, True, stop_when=other_group)
        unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
        data = io.BytesIO()
        size = _unpack(file, unpacker, data, MOST_HEADER)
        if not unpacker.eof and size < MOST_HEADER:
            raise EOFError("a deflated file that is cut off")
        given: dict[str, Any] = {"specific_tags": [Tag(tag) for tag in tags or ()]}
        reached: list[bool] = []
        try:
            data.seek(0)
            header = read_dataset(data, False, True, stop_when=at_pixels, **given)
        except EOFError:
            if unpacker.eof:
                raise
        if not (unpacker.eof or reached):
            raise _too_long(path, MOST_HEADER)
        if pixels:
            most = MOST_HEADER + promised_bytes(header)
            size = _unpack(file, unpacker, data, most)
            if not unpacker.eof:
                if size >= most:
                    raise _too_long(path, most)
                raise EOFError("a deflated file that is cut off")
            data.seek(0)
            header = read_dataset(data, False, True, **given)
    return FileDataset(
        path,
        header,
        preamble,
        FileMetaDataset(meta),
        is_implicit_VR=False,
        is_little_endian=True,
    )


def promised_bytes(header: Dataset) -> int:
    """Bytes of the pixels that a header promises; 0 where it promises none."""
    size = int(header.get("NumberOfFrames") or 1)
    for keyword in ("Rows", "Columns", "SamplesPerPixel"):
        size *= int(header.get(keyword) or 0)
    return max(size, 0) * int(header.get("BitsAllocated") or 0) // 8


def _unpack(file: io.BufferedIOBase, unpacker: Any, data: io.BytesIO, most: int) -> int:
    """Unpack what is left behind the data, until there are that many bytes at most.

    Nothing is copied: a bomb costs no more memory than it may unpack.

    Returns:
        Number of bytes that there are.
    """
    size = data.seek(0, io.SEEK_END)
    while size < most and not unpacker.eof:
        packed = unpacker.unconsumed_tail or file.read(PIECE)
        part = unpacker.decompress(packed, min(PIECE, most - size))
        if not packed and not part:
            break
        size += data.write(part)
    return size


def _too_long(path: Path, most: int) -> DataError:
    return DataError(
        f"{path}: expected at most {most} bytes of header and pixels, found more in a "
        "deflated file; its header is wrong: export it again without compression"
    )
