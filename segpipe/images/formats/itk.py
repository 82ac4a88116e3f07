"""NRRD and MetaImage files, read and written through SimpleITK, and checked."""

import gzip
import math
import os
import re
import tempfile
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import Integer

from segpipe.images.contract import (
    check_content,
    check_end,
    check_promise,
    check_straight,
    mm_per_unit,
)
from segpipe.images.grid import Grid
from segpipe.images.values import finite_float32, whole_labels
from segpipe.images.volume import Image, LabelMap
from segpipe.project.errors import DataError

SUFFIXES = (".nrrd", ".nhdr", ".mha", ".mhd")
HEADER_BYTES = 1 << 16
# Fields of the geometry, one of which a header must have: SimpleITK fills in defaults.
GEOMETRY = {
    ".nrrd": (b"space directions:",),
    ".mha": (b"ElementSpacing", b"ElementSize"),
}
# What names the files of voxels: one, a LIST, or a pattern with first, last and step.
DATA_FILE = re.compile(
    r"^(?:data ?file *:|ElementDataFile *=)[ \t]*(.*)$", re.MULTILINE | re.IGNORECASE
)
PLACE = re.compile(r"%(0?\d?)d")
MOST_FILES = 100_000
# Fields that name the unit of the spacing.
UNITS = {".nrrd": ("space units", "units"), ".mha": ("DistanceUnits",)}
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def read_image(path: Path) -> Image:
    """Read an image; components of a voxel become channels.

    Raises:
        DataError: If the file is damaged or has no geometry, or if its voxels are not
            finite.
    """
    array, grid = read_components(path)
    return Image(finite_float32(path, array), grid)


def read_label(path: Path) -> LabelMap:
    """Read a label map; floats within 0.001 of whole numbers are rounded.

    Raises:
        DataError: As for read_image, or if a value is not whole.
    """
    array, grid = read_components(path)
    if len(array) != 1:
        raise DataError(
            f"{path}: expected one label a voxel, found {len(array)} components; "
            "write the label map as whole numbers, or import the segments of 3D Slicer "
            "by --structure NAME=SEGMENT"
        )
    return LabelMap(whole_labels(path, array[0]), grid)


def write_label(path: Path, array: Integer[np.ndarray, "i j k"], grid: Grid) -> None:
    """Write a label map, compressed and atomically."""
    import SimpleITK  # slow, and for these formats alone

    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(array.T))
    affine = LPS_TO_RAS @ grid.affine
    image.SetSpacing(grid.spacing)
    image.SetOrigin(affine[:3, 3].tolist())
    image.SetDirection((affine[:3, :3] / np.array(grid.spacing)).ravel().tolist())
    path.parent.mkdir(parents=True, exist_ok=True)
    # A folder: the ending decides the format, and an .mhd names its file of voxels.
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".", suffix=".part") as d:
        part = Path(d) / path.name
        SimpleITK.WriteImage(image, str(part), useCompression=True)
        for file in reversed(files_of(part)):  # the header last
            os.replace(file, path.with_name(file.name))


def promised_voxels(path: Path) -> int:
    """Voxels that an NRRD header promises, of all axes; nothing behind it is read.

    Raises:
        DataError: If it gives no whole sizes.
    """
    fields = {key.lower(): value for key, value in read_fields(path).items()}
    sizes = fields.get("sizes", "").split()
    if not sizes or not all(one.isascii() and one.isdecimal() for one in sizes):
        raise DataError(
            f"{path}: expected an NRRD header with the sizes of all axes, found none; "
            "write the file again"
        )
    return math.prod(int(one[:20]) for one in sizes)


def is_detached(path: Path) -> bool:
    """Whether a header says that its voxels are in other files."""
    return DATA_FILE.search(_head_of(path)) is not None


def _head_of(path: Path) -> str:
    """The beginning of a file as text; of NRRD, its header alone."""
    with path.open("rb") as file:
        head = file.read(HEADER_BYTES).decode("utf-8", "surrogateescape")
    if head.startswith("NRRD"):
        head = head.replace("\r\n", "\n").partition("\n\n")[0]
    return head


def files_of(path: Path) -> tuple[Path, ...]:
    """The file and the files of voxels that its header names, if they exist."""
    if not path.is_file():
        return (path,)
    head = _head_of(path)
    found = DATA_FILE.search(head)
    if found is None:
        return (path,)
    words = found[1].split()
    if words and words[0] == "LIST":
        names = head[found.end() :].splitlines()
    elif len(words) >= 4 and (place := PLACE.search(words[0])):
        low, high, step = (int(n) if n.isdecimal() else 1 for n in words[1:4])
        numbers = range(low, high + 1, max(1, step))[:MOST_FILES]
        names = [words[0].replace(place[0], f"{n:{place[1]}}") for n in numbers]
    else:
        names = [found[1].strip()]
    beside = [path.parent / name.strip() for name in names if name.strip()]
    return (path, *(file for file in dict.fromkeys(beside) if _is_file(file)))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that no system allows
        return False


def read_components(path: Path) -> tuple[np.ndarray, Grid]:
    """The voxels as channel i j k, in the file's own type, and their grid."""
    import SimpleITK  # slow, and for these formats alone

    _check_header(path)
    reader = SimpleITK.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        count = math.prod(reader.GetSize()) * reader.GetNumberOfComponents()
        check_promise(path, count, sum(one.stat().st_size for one in files_of(path)))
        image = SimpleITK.ReadImage(str(path))
        array = SimpleITK.GetArrayFromImage(image)
    except RuntimeError as error:
        # MetaImage's errors end in a stale reason from another call.
        reason = str(error).partition("\nReason:")[0].strip().splitlines()[-1]
        raise DataError(
            f"{path}: expected a whole image, found {reason}; "
            "fetch the file again from its source"
        ) from error
    _check_voxels(path, array.nbytes)
    dimensions = image.GetDimension()
    if dimensions not in (2, 3):
        raise DataError(
            f"{path}: expected an image of 2 or 3 axes, found {dimensions}; "
            "write each time point as a file of its own"
        )
    if image.GetNumberOfComponentsPerPixel() == 1:
        array = array[..., None]
    if dimensions == 2:
        array = array[None]
    affine = np.eye(4)
    turn = np.eye(3)
    turn[:dimensions, :dimensions] = np.reshape(image.GetDirection(), (dimensions, -1))
    spacing = np.ones(3)
    spacing[:dimensions] = image.GetSpacing()
    affine[:3, :3] = turn * spacing
    affine[:dimensions, 3] = image.GetOrigin()
    affine[:3] *= _mm_per_unit(path)
    k, j, i = array.shape[:3]
    grid = Grid((i, j, k), LPS_TO_RAS @ affine, "mm")
    return array.transpose(3, 2, 1, 0), check_straight(path, grid)


def _kind(path: Path) -> str:
    return ".nrrd" if path.suffix.lower() in (".nrrd", ".nhdr") else ".mha"


def read_fields(path: Path) -> dict[str, str]:
    """The fields of a header as they are written."""
    with path.open("rb") as file:
        start = file.read(HEADER_BYTES)
    if _kind(path) == ".nrrd":
        head, between = re.split(rb"\r?\n\r?\n", start, maxsplit=1)[0], r":=?"
    else:
        end = start.find(b"\n", max(start.find(b"ElementDataFile"), 0))
        head, between = start[: end if end >= 0 else None], "="
    lines = os.fsdecode(head).splitlines()
    pairs = (re.split(between, line, maxsplit=1) for line in lines)
    return {pair[0].strip(): pair[1].strip() for pair in pairs if len(pair) == 2}


def _mm_per_unit(path: Path) -> float:
    fields, units = read_fields(path), set[str]()
    for key in UNITS[_kind(path)]:
        text = fields.get(key, "")
        named = re.findall(r'"([^"]*)"', text) or text.split()
        units |= {unit for unit in named if unit.strip(" ?")}
    return mm_per_unit(path, units)


def _check_header(path: Path) -> None:
    """Refuse what SimpleITK fills in silently: a missing geometry, missing bytes."""
    if not path.is_file():
        raise DataError(f"{path}: expected an image, found none")
    with path.open("rb") as file:
        start = file.read(HEADER_BYTES)
    check_content(path, start, "NRRD" if _kind(path) == ".nrrd" else "MetaImage")
    kind = _kind(path)
    if kind == ".nrrd" and not start.startswith(b"NRRD"):
        raise DataError(
            f"{path}: expected an NRRD file, found another format; is its name right?"
        )
    if not any(word in start for word in GEOMETRY[kind]):
        raise DataError(
            f"{path}: expected a header with the geometry, found none of "
            f"{', '.join(word.decode() for word in GEOMETRY[kind])}; write the image "
            "again with its spacing and directions"
        )


def _check_voxels(path: Path, needed: int) -> None:
    """Check that the voxels are stored whole and undamaged, and nothing behind them."""
    fields = read_fields(path)
    if _kind(path) == ".mha":
        packed = fields.get("CompressedData", "").lower() in ("true", "1")
        if packed:
            _check_zlib(path, needed)
        elif fields.get("BinaryData", "True").lower() in ("true", "1"):
            _check_raw(path, fields, needed)
        return
    with path.open("rb") as file:
        start = file.read(HEADER_BYTES)
    head = re.match(rb".*?\r?\n\r?\n", start, re.DOTALL)
    beside = next((fields[k] for k in ("data file", "datafile") if k in fields), None)
    if beside is not None:
        voxels, offset = path.parent / beside, 0
    elif head is not None:
        voxels, offset = path, head.end()
    else:
        return
    if not voxels.is_file() or {"byte skip", "line skip"} & set(fields):
        return
    encoding = fields.get("encoding", "").lower()
    if encoding in ("gz", "gzip"):
        _check_gzip(path, voxels, offset, needed)
    elif encoding == "raw":
        with voxels.open("rb") as file:
            file.seek(offset + needed)
            check_end(path, file)


def _check_raw(path: Path, fields: dict[str, str], needed: int) -> None:
    """Check the end of uncompressed MetaImage voxels."""
    name = fields.get("ElementDataFile", "")
    size = fields.get("HeaderSize", "0")
    voxels = path if name.upper() == "LOCAL" else path.parent / name
    if not voxels.is_file() or not size.isdecimal():  # a list; -1: read from the end
        return
    skipped = int(size)
    with voxels.open("rb") as file:
        if voxels == path:
            start = file.read(HEADER_BYTES)
            skipped += start.index(b"\n", start.index(b"ElementDataFile")) + 1
        file.seek(skipped + needed)
        check_end(path, file)


def _check_gzip(path: Path, packed: Path, offset: int, needed: int) -> None:
    """Read compressed voxels to the end, which checks their length and checksum.

    No more is unpacked than the header promises.
    """
    with packed.open("rb") as file:
        file.seek(offset)
        try:
            with gzip.GzipFile(fileobj=file) as voxels:
                left = needed
                while left > 0 and (data := voxels.read(min(left, 1 << 24))):
                    left -= len(data)
                check_end(path, voxels)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(
                f"{path}: expected whole gzip data, found {error}; "
                "the file is damaged: fetch it again from its source"
            ) from error


def _check_zlib(path: Path, needed: int) -> None:
    """Unpack compressed MetaImage voxels: SimpleITK reports no damage.

    Without the size of the packed data, SimpleITK also reads from a wrong place.
    """
    with path.open("rb") as file:
        start = file.read(HEADER_BYTES)
    head, _, rest = start.partition(b"ElementDataFile")
    fields = read_fields(path)
    name = os.fsdecode(rest.partition(b"\n")[0].partition(b"=")[2].strip())
    local = name.upper() == "LOCAL"
    packed = path if local else path.parent / name
    offset = start.index(b"\n", len(head)) + 1 if local else 0
    size, found = fields.get("CompressedDataSize", ""), 0
    left = int(size) if size.isdecimal() else 0
    unpacker = zlib.decompressobj(wbits=47)  # zlib's or gzip's header
    try:
        with packed.open("rb") as file:
            file.seek(offset)
            while (
                left > 0 and found <= needed and (data := file.read(min(left, 1 << 16)))
            ):
                left -= len(data)
                found += len(unpacker.decompress(data))
            if unpacker.eof and found == needed:
                check_end(path, file)
    except (OSError, zlib.error):
        found = 0
    if not unpacker.eof or found != needed:
        raise DataError(
            f"{path}: expected {needed} bytes of voxels in whole zlib data, as large "
            f"as CompressedDataSize says, found {found}; the file is damaged: "
            "fetch it again from its source"
        )
