"""The contract of all formats: what a file must be, and the words if it is not."""

import io
import re
import zlib
from pathlib import Path

import numpy as np

from segpipe.images.grid import Grid
from segpipe.project.errors import DataError

LARGEST_SHEAR = 0.01  # cosine between axes: about half a degree
PADDING = 4096  # bytes of zeros behind the last voxel that some programs leave
MOST_UNPACKED = 1032  # bytes that deflate unpacks from one
ALWAYS_UNPACKED = 1 << 29  # bytes of voxels that a file of any size may promise
# How files begin: the place, the bytes there, the format, the endings of its names.
CONTENTS = (
    (0, b"\x89PNG\r\n", "PNG", (".png",)),
    (0, b"\xff\xd8\xff", "JPEG", (".jpg", ".jpeg")),
    (0, b"II*\0", "TIFF", (".tif", ".tiff")),
    (0, b"MM\0*", "TIFF", (".tif", ".tiff")),
    (0, b"II+\0", "TIFF", (".tif", ".tiff")),
    (0, b"MM\0+", "TIFF", (".tif", ".tiff")),
    (0, b"NRRD00", "NRRD", (".nrrd", ".nhdr")),
    (0, b"ObjectType =", "MetaImage", (".mha", ".mhd")),
    (0, b"\x89HDF\r\n", "HDF5", (".h5", ".hdf5")),
    (344, b"n+1\0", "NIfTI", (".nii",)),
    (4, b"n+2\0\r\n", "NIfTI", (".nii",)),
    (128, b"DICM", "DICOM", (".dcm",)),
)
LONGEST_START = 2048  # bytes of a file that tell its format, packed or not
GZIP = b"\x1f\x8b"
MM_PER_UNIT = {
    "mm": 1.0,
    "millimeter": 1.0,
    "millimetre": 1.0,
    "m": 1000.0,
    "meter": 1000.0,
    "metre": 1000.0,
    "cm": 10.0,
    "um": 0.001,
    "µm": 0.001,  # the micro sign
    "μm": 0.001,  # the Greek letter
    "micron": 0.001,
    "micrometer": 0.001,
    "micrometre": 0.001,
    "nm": 1e-6,
    "nanometer": 1e-6,
    "nanometre": 1e-6,
}


def content_of(start: bytes) -> tuple[str, tuple[str, ...]]:
    """The format that the first bytes tell, and its endings; empty if unknown."""
    if start.startswith(GZIP):
        try:
            inner = zlib.decompressobj(wbits=31).decompress(start, LONGEST_START)
        except zlib.error:
            return "", ()
        packed = content_of(inner)[0] == "NIfTI"
        return ("NIfTI in gzip", (".nii.gz",)) if packed else ("", ())
    for place, magic, kind, endings in CONTENTS:
        if start[place : place + len(magic)] == magic:
            return kind, endings
    return "", ()


def check_content(path: Path, start: bytes, *kinds: str) -> None:
    """Check that a file does not begin as one of another known format.

    Args:
        path: The file.
        start: Its first bytes.
        kinds: The formats that its reader reads, in the words of CONTENTS.

    Raises:
        DataError: If it does.
    """
    kind, endings = content_of(start)
    if kind and kind not in kinds:
        raise DataError(
            f"{path}: expected what the name says, found {kind} data; rename it to end "
            f"in {endings[0]}"
        )


def check_promise(path: Path | str, promised: int, stored: int) -> None:
    """Check that the voxels that a header promises can be in the file at all.

    Args:
        path: The file, for the error.
        promised: Bytes of the voxels, unpacked.
        stored: Bytes of the file.

    Raises:
        DataError: If no compression could pack them as tightly, and they are many.
    """
    if promised > max(ALWAYS_UNPACKED, stored * MOST_UNPACKED):
        raise DataError(
            f"{path}: expected as many voxels as {stored} bytes can hold, found a "
            f"header that promises {promised} bytes; the header is wrong or the file "
            "is cut off: fetch it again from its source"
        )


def check_straight(path: Path, grid: Grid) -> Grid:
    """The grid, if its axes are finite, longer than 0 and at right angles.

    Raises:
        DataError: If they are not.
    """
    lengths = np.array(grid.spacing)
    if not np.isfinite(grid.affine).all() or not (lengths > 0).all():
        raise DataError(
            f"{path}: expected finite axes longer than 0, found "
            f"{grid.affine[:3].tolist()}; set the true spacing and directions"
        )
    if grid.largest_shear > LARGEST_SHEAR:
        raise DataError(
            f"{path}: expected axes at right angles, found a shear of "
            f"{grid.largest_shear:.3f} (cosine); resample the image to a straight grid"
        )
    return grid


def check_axial(path: Path, grid: Grid) -> None:
    """Check that a plane lies across the body, where 2-D networks look.

    Raises:
        DataError: If the axis of a single slice points to the side or the front.
    """
    if grid.shape[2] == 1 and grid.to_canonical.permutation[2] != 2:
        raise DataError(
            f"{path}: expected a 2-D image in the axial plane, found one whose slice "
            "axis points to the side or the front; store it as PNG or TIFF, with "
            "spacing_mm in dataset.json or --spacing-mm"
        )


def mm_per_unit(path: Path, units: set[str]) -> float:
    """Millimetres in the one unit of length that a file names; 1 if it names none.

    Raises:
        DataError: If the unit is no known length, or if the axes differ in it.
    """
    named = {re.sub(r"s$", "", unit.strip().lower()) or "mm" for unit in units}
    if len(named) > 1 or not named <= set(MM_PER_UNIT):
        raise DataError(
            f"{path}: expected one unit of length, such as mm or um, found "
            f"{', '.join(sorted(units))}; write the spacing in mm"
        )
    return MM_PER_UNIT[named.pop()] if named else 1.0


def check_upright(path: Path, orientation: int) -> None:
    """Check the orientation tag of a picture (EXIF and TIFF 274, PNG eXIf).

    Raises:
        DataError: If viewers turn or mirror the picture.
    """
    if orientation not in (0, 1):
        raise DataError(
            f"{path}: expected pixels in their final orientation, found EXIF "
            f"orientation {orientation}; apply it (`mogrify -auto-orient`), so that "
            "image and label map agree"
        )


def check_end(path: Path, rest: io.BufferedIOBase) -> None:
    """Check that nothing but a little padding lies behind the last voxel.

    Args:
        path: The file, for the error.
        rest: The file, at the end of its voxels; little more than that is read.

    Raises:
        DataError: If there is more.
    """
    behind = rest.read(PADDING + 1)
    if len(behind) > PADDING or behind.strip(b"\0"):
        raise DataError(
            f"{path}: expected the end of the file behind the last voxel, found more "
            "data; the header is wrong about the shape or the type, or two files were "
            "joined: write the image again"
        )


def check_varies(path: Path, low: float, high: float, *, where: str = "") -> None:
    """Check that a channel is no blank image.

    Args:
        path: The file, for the error.
        low: Smallest value of the channel.
        high: Largest value of the channel.
        where: Words that tell the channel from others; may be empty.

    Raises:
        DataError: If all voxels have the same value.
    """
    if low == high:
        raise DataError(
            f"{path}: expected an image, found {low:g} in every voxel{where} (zero "
            "variance); was it exported before it was loaded?"
        )
