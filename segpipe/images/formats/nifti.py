"""NIfTI files, read through nibabel and checked; written atomically, also in slices."""

import gzip
import io
import math
import os
import struct
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import TracebackType

import nibabel as nib
import numpy as np
from jaxtyping import Integer, Shaped
from nibabel.arrayproxy import ArrayProxy
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError

from segpipe.images.contract import (
    LONGEST_START,
    MOST_UNPACKED,
    check_content,
    check_end,
)
from segpipe.images.formats.nifti_geometry import forms_agree, nifti_grid, nifti_shape
from segpipe.images.grid import Grid, Triple
from segpipe.images.values import finite_float32, whole_labels
from segpipe.images.volume import SLICES, Image, ImageStream, LabelMap
from segpipe.project.errors import DataError

SUFFIXES = (".nii.gz", ".nii")
LARGEST_WHOLE = 1 << 26  # voxels that are read at once: 256 MB in float32
GZIP = 31  # zlib's number for gzip's format
HEADER_BYTES = 544  # of NIfTI-2, and the flag of extensions; NIfTI-1 has fewer
FARTHEST = 1 << 26  # bytes before the first voxel: the header and its extensions


def read_image(path: Path) -> Image:
    """Read an image; RGB voxels become channels, trailing axes of size 1 are dropped.

    Raises:
        DataError: If the file is damaged, its geometry is missing or contradictory, or
            its voxels are complex, more than 3-D or not finite.
    """
    image = _load(path)
    grid = nifti_grid(path, image, nifti_shape(path, image))
    array = _voxels(path, image)
    if array.dtype.names:  # RGB24, RGBA32
        channels = np.stack([array[name] for name in array.dtype.names])
    else:
        channels = array[None]
    return Image(finite_float32(path, channels.reshape((-1, *grid.shape))), grid)


def open_image(path: Path) -> ImageStream:
    """Open an image that is read slice by slice; small or coloured ones are read whole.

    Raises:
        DataError: As for read_image; for faults of the voxels while they are read.
    """
    with _damage_named(path), _open(path) as file:
        image = _parse(path, _header_of(file), header_only=True)
    shape = nifti_shape(path, image)
    dtype = image.get_data_dtype()
    if math.prod(shape) <= LARGEST_WHOLE or dtype.kind not in "iuf":
        return ImageStream.of(read_image(path))
    grid = nifti_grid(path, image, shape)
    return ImageStream(grid, 1, partial(_read_slices, path, image.dataobj, shape))


def promised_voxels(path: Path) -> int:
    """Voxels that the header promises, of all axes; nothing behind it is read.

    Raises:
        DataError: If the header is damaged.
    """
    with _damage_named(path), _open(path) as file:
        image = _parse(path, _header_of(file), header_only=True)
    return math.prod(image.shape)


def _read_slices(path: Path, voxels: ArrayProxy, shape: Triple) -> Iterator[np.ndarray]:
    """Read slices along k in the order of the file, to its end.

    The offset and the scaling come from nibabel's array proxy: in the header of an
    image that was read, nibabel sets them to zero and NaN.
    """
    dtype, slope, intercept = voxels.dtype, voxels.slope, voxels.inter
    each = shape[0] * shape[1]
    with _damage_named(path), _open(path) as file:
        file.read(int(voxels.offset))
        for start in range(0, shape[2], SLICES):
            count = min(SLICES, shape[2] - start)
            data = file.read(count * each * dtype.itemsize)
            if len(data) < count * each * dtype.itemsize:
                raise DataError(
                    f"{path}: expected {shape[2]} slices, found the end of the file "
                    f"after {start}; the file is cut off: fetch it again from its "
                    "source"
                )
            array = np.frombuffer(data, dtype)
            if (slope, intercept) != (1, 0):
                array = array.astype(np.float64) * slope + intercept
            block = array.reshape((1, *shape[:2], count), order="F")
            yield finite_float32(path, block)
        check_end(path, file)  # and the checksum


def read_channels(path: Path) -> Image:
    """Read an image whose fourth axis counts channels, as the MSD stores contrasts.

    Raises:
        DataError: As for read_image.
    """
    image = _load(path)
    coloured = image.get_data_dtype().names is not None
    if len(image.shape) != 4 or 0 in image.shape or coloured:
        return read_image(path)
    i, j, k, _ = image.shape
    grid = nifti_grid(path, image, (i, j, k))
    return Image(finite_float32(path, np.moveaxis(_voxels(path, image), 3, 0)), grid)


def read_label(path: Path) -> LabelMap:
    """Read a label map; floats within 0.001 of whole numbers are rounded.

    Raises:
        DataError: As for read_image, or if a value is not whole.
    """
    image = _load(path)
    grid = nifti_grid(path, image, nifti_shape(path, image))
    array = _voxels(path, image)
    if array.dtype.names:
        raise DataError(
            f"{path}: expected one label a voxel, found colours {array.dtype.names}; "
            "write the label map as whole numbers"
        )
    return LabelMap(whole_labels(path, array.reshape(grid.shape)), grid)


def write_label(path: Path, array: Integer[np.ndarray, "i j k"], grid: Grid) -> None:
    """Write a label map; the same voxels and grid give the same bytes."""
    write_slices(path, grid, array.dtype, [array])


def write_image(path: Path, array: np.ndarray, grid: Grid) -> None:
    """Write an image of one channel, in the array's own type."""
    write_slices(path, grid, array.dtype, [array])


class SliceWriter:
    """Writes slices along k one by one; the file appears when it is complete.

    Args:
        path: File whose name ends in .nii.gz or .nii.
        grid: Grid of all slices together.
        dtype: Type of the stored voxels.
        compresslevel: Level of gzip, 1 to 9.
    """

    def __init__(
        self, path: Path, grid: Grid, dtype: np.dtype, *, compresslevel: int = 6
    ) -> None:
        self.path, self._grid, self._dtype = path, grid, dtype
        self._part = path.with_name(f".{path.name}.part")
        self._packer = zlib.compressobj(compresslevel, wbits=GZIP)  # without time
        self._packed = path.name.endswith(".gz")
        self._slices = 0

    def __enter__(self) -> "SliceWriter":
        """Start the file under a temporary name."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._part.open("wb")
        self._put(_header(self.path, self._grid, self._dtype))
        return self

    def add(self, array: Shaped[np.ndarray, "i j n"]) -> None:
        """Write the next slices."""
        self._put(array.astype(self._dtype, copy=False).tobytes(order="F"))
        self._slices += array.shape[2]

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the file its name, or remove it after an error."""
        try:
            with self._file:  # on a full disk, closing it fails, too
                if self._packed and kind is None:
                    self._file.write(self._packer.flush())
            if kind is None:
                whole = self._slices == self._grid.shape[2]
                assert whole, (self._slices, self._grid.shape)
                os.replace(self._part, self.path)
        finally:
            self._part.unlink(missing_ok=True)

    def _put(self, data: bytes) -> None:
        self._file.write(self._packer.compress(data) if self._packed else data)


def write_slices(
    path: Path, grid: Grid, dtype: np.dtype, parts: Iterable[np.ndarray]
) -> None:
    """Write voxels that come in parts (axes i j n) of some slices along k."""
    with SliceWriter(path, grid, dtype) as writer:
        for part in parts:
            writer.add(part)


def _header(path: Path, grid: Grid, dtype: np.dtype) -> bytes:
    empty = np.broadcast_to(np.zeros((), dtype), grid.shape)
    image = nib.Nifti1Image(empty, grid.affine, dtype=dtype)
    image.header.set_xyzt_units("mm" if grid.unit == "mm" else "unknown")
    image.set_qform(grid.affine, code=1)
    image.set_sform(grid.affine, code=1)
    if not forms_agree(path, image, grid):  # a qform cannot hold the slightest shear
        image.header["qform_code"] = 0
    image.header["magic"] = b"n+1"
    image.header["scl_slope"], image.header["scl_inter"] = 1, 0
    image.header.set_data_offset(352)
    return bytes(image.header.binaryblock).ljust(352, b"\0")


def _open(path: Path) -> io.BufferedIOBase:
    """Open a file, decompressed if its name ends in .gz."""
    if not path.is_file():
        raise DataError(f"{path}: expected a NIfTI file, found none")
    if path.stat().st_size == 0:
        raise DataError(
            f"{path}: expected a NIfTI file, found 0 bytes; "
            "the copy failed: fetch it again from its source"
        )
    with path.open("rb") as file:
        start = file.read(LONGEST_START)
    packed = start.startswith(b"\x1f\x8b")
    check_content(path, start, "NIfTI", "NIfTI in gzip")
    if packed != path.name.endswith(".gz"):
        found, mend = (
            ("gzip data", "rename it to end in .nii.gz")
            if packed
            else ("no gzip data", "rename it to end in .nii if it is plain NIfTI")
        )
        raise DataError(f"{path}: expected what the name says, found {found}; {mend}")
    if packed:
        return gzip.open(path, "rb")
    return path.open("rb")


def _load(path: Path) -> nib.Nifti1Image:
    """Load the whole file: read to the end, gzip checks length and checksum.

    No more is unpacked than the header promises.
    """
    with _damage_named(path), _open(path) as file:
        data = _header_of(file)
        if len(data) == HEADER_BYTES:
            left = _promised(_parse(path, data, header_only=True)) - len(data)
            largest = path.stat().st_size * MOST_UNPACKED  # a header may say anything
            data += file.read(min(max(left, 0), largest))
        image = _parse(path, data, header_only=False)
        end = io.BytesIO(data[_promised(image) :])
        check_end(path, end)
        check_end(path, file)
    return image


def _header_of(file: io.BufferedIOBase) -> bytes:
    """The header without the flag of extensions, so that nibabel reads none of them.

    They may be long, and no voxel depends on them.
    """
    data = bytearray(file.read(HEADER_BYTES))
    size = 540 if 540 in _sizes(data) else 348
    data[size : size + 4] = bytes(len(data[size : size + 4]))
    return bytes(data)


def _sizes(data: bytes | bytearray) -> set[int]:
    """The first number of a header, which is its size, in both orders of bytes."""
    start = bytes(data[:4]).ljust(4, b"\0")
    return {*struct.unpack("<i", start), *struct.unpack(">i", start)}


def _promised(image: nib.Nifti1Image) -> int:
    """Bytes of the file up to its last voxel, by its header."""
    size: int = math.prod(image.shape) * image.get_data_dtype().itemsize
    return int(image.dataobj.offset) + size


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    try:
        yield
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(
            f"{path}: expected a whole gzip file, found {error}; "
            "the file is damaged: fetch it again from its source"
        ) from error


def _parse(path: Path, data: bytes, *, header_only: bool) -> nib.Nifti1Image:
    size = len(data)
    if size < 348:
        raise DataError(
            f"{path}: expected a NIfTI header of 348 bytes, found {size} bytes; "
            "the file is damaged: fetch it again from its source"
        )
    kind = nib.Nifti2Image if 540 in _sizes(data) else nib.Nifti1Image
    _check_spacings(path, kind, data)
    try:
        holder = nib.FileHolder(fileobj=io.BytesIO(data))
        image = kind.from_file_map({"header": holder, "image": holder})
        header = image.header
        needed = _promised(image)
    except (ImageFileError, HeaderDataError, OverflowError, ValueError) as error:
        raise DataError(
            f"{path}: expected a NIfTI file, found {error}; convert the image to NIfTI"
        ) from error
    if image.dataobj.offset > FARTHEST:
        raise DataError(
            f"{path}: expected the voxels in the first {FARTHEST} bytes, found them "
            f"from byte {image.dataobj.offset} on; write the image again, without its "
            "header extensions"
        )
    if not header_only and size < needed:
        raise DataError(
            f"{path}: expected {needed} bytes for {header.get_data_shape()} voxels, "
            f"found {size}; the file is cut off: fetch it again from its source"
        )
    return image


def _check_spacings(path: Path, kind: type[nib.Nifti1Image], data: bytes) -> None:
    """Check the spacings as stored: nibabel corrects them silently."""
    size = 540 if kind is nib.Nifti2Image else 348
    header = kind.header_class(data[:size], check=False)
    axes = min(max(int(header["dim"][0]), 1), 3)
    pixdim = np.asarray(header["pixdim"], np.float64)[1 : axes + 1]
    if not np.isfinite(pixdim).all() or (pixdim <= 0).any():
        raise DataError(
            f"{path}: expected spacings above 0 mm, found pixdim {pixdim.tolist()}; "
            "set the true voxel size in the header"
        )


def _voxels(path: Path, image: nib.Nifti1Image) -> np.ndarray:
    """The voxels, scaled by slope and intercept; in NIfTI-1 a slope of 0 means none."""
    if np.issubdtype(image.get_data_dtype(), np.complexfloating):
        raise DataError(
            f"{path}: expected real voxels, found {image.get_data_dtype()}; "
            "write magnitude and phase as two channels"
        )
    try:
        return np.asanyarray(image.dataobj)
    except (OSError, HeaderDataError, TypeError, ValueError) as error:
        raise DataError(
            f"{path}: expected readable voxels, found {error}; "
            "fetch the file again from its source, or write it again"
        ) from error
