"""PNG, TIFF and JPEG files: column = i, row = j; pages of a TIFF = k."""

import io
import logging
import math
import re
import struct
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import PIL.Image
import tifffile
from jaxtyping import Integer

from segpipe.images.contract import (
    LONGEST_START,
    MM_PER_UNIT,
    check_content,
    check_promise,
    check_upright,
    content_of,
)
from segpipe.images.grid import Grid
from segpipe.images.values import finite_float32, whole_labels
from segpipe.images.volume import Image, LabelMap
from segpipe.project.documents import write_bytes
from segpipe.project.errors import DataError

SUFFIXES = (".png", ".tif", ".tiff", ".jpg", ".jpeg")
# What the decoders raised on damaged files in tests, or base classes of it.
DECODER_ERRORS = (
    ArithmeticError,
    LookupError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
EXIF_ORIENTATION = 274
LOSSY = (".jpg", ".jpeg")
TIFF = (".tif", ".tiff")
DECODED = ("PNG", "TIFF", "JPEG")
# What pixels may mean; all else, such as CMYK, CIELAB or inverted grey, is refused.
PIXELS = ("MINISBLACK", "RGB")
MODES = ("L", "RGB")  # the same in the names of Pillow, for JPEG
SLICES, CHANNELS, TIME = "ZQI", "CS", "T"  # axes of a TIFF in tifffile's letters
KNOWN_AXES = f"XY{SLICES}{CHANNELS}"
XRESOLUTION, YRESOLUTION, CENTIMETRE = 282, 283, 3
OME_SIZE = re.compile(r'\bPhysicalSize([XYZ])(Unit)?="([^"]*)"')
OME_PIXELS = re.compile(r"<(?:\w+:)?(?:Pixels|TiffData)\b[^>]*>")
OME_PLANES = re.compile(r'\b(?:Size[ZCT]|PlaneCount)="(\d{1,18})"')
SAME_SPACING = 0.01  # as a fraction of the spacing
MOST_PAGES = 1 << 16  # of a TIFF: more take minutes to look at


def read_image(path: Path, *, spacing_mm: tuple[float, float] | None = None) -> Image:
    """Read an image at its full depth; colours (and alpha) become channels.

    A TIFF of several pages is a volume, page = k.

    Args:
        path: The file.
        spacing_mm: Distance of columns and of rows; None gives the unit px.

    Raises:
        DataError: If the file is damaged, of another kind, or not finite.
    """
    array = finite_float32(path, _read(path, palette="colours"))
    return Image(array, _grid(path, array.shape, spacing_mm))


def read_label(
    path: Path, *, spacing_mm: tuple[float, float] | None = None
) -> LabelMap:
    """Read a label map of one whole number a pixel; a palette is read as its indices.

    Raises:
        DataError: If the file is damaged or coloured, or if a value is not whole.
    """
    if path.suffix.lower() in LOSSY or (path.is_file() and _kind(path) == "JPEG"):
        raise DataError(
            f"{path}: expected a label map without loss, found JPEG, which changes the "
            "values at edges; use the original, as PNG or TIFF"
        )
    array = _read(path, palette="indices")
    colours = array[:1] if len(array) == 2 else array[:3]  # without alpha
    if (colours != array[:1]).any():
        raise DataError(
            f"{path}: expected one label a pixel, found {len(array)} channels; "
            "write the label map in grey values (structure 1 as 1, and so on)"
        )
    return LabelMap(whole_labels(path, array[0]), _grid(path, array.shape, spacing_mm))


def spacing_warning(path: Path, spacing_mm: tuple[float, ...] | None) -> str | None:
    """A sentence if a TIFF states another spacing than it is used with, else None.

    ImageJ, OME and the tags of resolution in centimetres state one. It is not used,
    because many programs write one that was never measured.

    Args:
        path: The file.
        spacing_mm: The spacing that is used: columns, rows (and slices); None for px.
    """
    stated = _stated_spacing(path) if path.suffix.lower() in TIFF else ()
    used = (*(spacing_mm or ()), None)
    same = [
        mine is not None and abs(mine - size) <= SAME_SPACING * size
        for mine, size in zip(used, stated, strict=False)
    ]
    if not stated or (all(same[:2]) and (len(stated) < 3 or len(used) < 4 or same[2])):
        return None
    named = " x ".join(f"{size:.6g}" for size in stated)
    taken = " x ".join(f"{size:.6g}" for size in spacing_mm or ()) or "1 px"
    return (
        f"{path.name} states a spacing of {named} mm, which is not used; the image is "
        f"taken with {taken + ' mm' * bool(spacing_mm)}: give --spacing-mm if the "
        "stated one is right"
    )


def _stated_spacing(path: Path) -> tuple[float, ...]:
    """The spacing in mm of columns, rows and slices (if stated); empty without one."""
    try:
        with tifffile.TiffFile(path) as file:
            tags, imagej = file.pages.first.tags, file.imagej_metadata or {}
            ome = file.ome_metadata or ""
            metric = file.pages.first.resolutionunit == CENTIMETRE
            lengths = [tags.valueof(tag) for tag in (XRESOLUTION, YRESOLUTION)]
    except DECODER_ERRORS:
        return ()  # the reader says what is wrong with it
    if ome:
        found = {axis + part: text for axis, part, text in OME_SIZE.findall(ome)}
        sizes = [(found.get(axis), found.get(f"{axis}Unit", "um")) for axis in "XYZ"]
    else:
        unit = str(imagej.get("unit", "cm" if metric else ""))
        unit = unit.replace("\\u00B5", "u")
        plane = [n[1] / n[0] if n and n[0] else None for n in lengths]
        sizes = [(size, unit) for size in (*plane, imagej.get("spacing"))]
    if any(size is None or unit not in MM_PER_UNIT for size, unit in sizes[:2]):
        return ()
    return tuple(
        float(size) * MM_PER_UNIT[unit]
        for size, unit in sizes
        if size is not None and unit in MM_PER_UNIT
    )


def write_label(path: Path, array: Integer[np.ndarray, "i j k"]) -> None:
    """Write a label map as PNG (0 to 65535) or TIFF (any 32-bit integer)."""
    _write(path, array[:, :, 0].T if array.shape[2] == 1 else array.T, colours=False)


def write_image(path: Path, array: np.ndarray) -> None:
    """Write an image (channel i j k, with one k) as grey, RGB or RGBA.

    PNG stores whole numbers from 0 to 65535, TIFF also floats.
    """
    assert len(array) in (1, 3, 4), array.shape
    plane = array[..., 0].transpose(2, 1, 0)
    if len(array) == 1:
        plane = plane[..., 0]
    _write(path, plane, colours=len(array) > 1)


def _write(path: Path, plane: np.ndarray, *, colours: bool) -> None:
    plane = np.ascontiguousarray(plane)
    if path.suffix.lower() == ".png":
        data = imagecodecs.png_encode(_png_depth(path, plane))
    else:
        if plane.dtype.itemsize > 4:
            kind = np.int32 if np.issubdtype(plane.dtype, np.integer) else np.float32
            assert (plane == plane.astype(kind)).all(), f"{path}: beyond 32 bits"
            plane = plane.astype(kind)
        buffer = io.BytesIO()
        tifffile.imwrite(
            buffer,
            plane,
            photometric="rgb" if colours else "minisblack",
            compression="zlib",
            datetime=None,
        )
        data = buffer.getvalue()
    write_bytes(path, bytes(data))


def _png_depth(path: Path, plane: np.ndarray) -> np.ndarray:
    assert np.issubdtype(plane.dtype, np.integer), plane.dtype
    low, high = plane.min(initial=0), plane.max(initial=0)
    if low < 0 or high > 65535:
        raise DataError(
            f"{path}: expected values from 0 to 65535, found {low} to {high}; "
            "use .tif images, whose labels may be any integer"
        )
    return plane.astype(np.uint8 if high <= 255 else np.uint16)


def _grid(
    path: Path, shape: tuple[int, ...], spacing_mm: tuple[float, float] | None
) -> Grid:
    _, i, j, k = shape
    if spacing_mm is None:
        return Grid.from_spacing((i, j, k), (1.0, 1.0, 1.0), "px")
    if k > 1:
        raise DataError(
            f"{path}: expected an image of one page beside spacing_mm, found {k}; "
            "a stack needs a third spacing: write it as NIfTI (`segpipe import` does)"
        )
    return Grid.from_spacing((i, j, k), (*spacing_mm, 1.0), "mm")


def _read(path: Path, *, palette: str) -> np.ndarray:
    """The pixels as channel i j k, in the file's own type."""
    if not path.is_file():
        raise DataError(f"{path}: expected an image file, found none")
    data = path.read_bytes()
    check_content(path, data[:LONGEST_START], *DECODED)
    kind = _kind(path)
    try:
        if kind == "PNG":
            array = _decode_png(path, data, palette)
        elif kind == "TIFF":
            return _decode_tiff(path, data, palette)
        else:
            array = _decode_jpeg(path, data)
    except PIL.UnidentifiedImageError as error:
        raise DataError(
            f"{path}: expected a whole {path.suffix[1:]} image, found the beginning of "
            "no known one; fetch it again from its source, or give it the ending of "
            "its format"
        ) from error
    except PIL.Image.DecompressionBombError as error:
        raise DataError(
            f"{path}: expected at most {2 * (PIL.Image.MAX_IMAGE_PIXELS or 0)} pixels, "
            f"found more ({error}); cut the image into tiles"
        ) from error
    except DataError:
        raise
    except DECODER_ERRORS as error:
        raise DataError(
            f"{path}: expected a whole {path.suffix[1:]} image, found {error}; "
            "the file is damaged: fetch it again from its source"
        ) from error
    planes = array[..., None] if array.ndim == 2 else array
    return planes.transpose(2, 1, 0)[..., None]


def _kind(path: Path) -> str:
    """PNG, TIFF or JPEG: what the file begins as, or else what its name says."""
    with path.open("rb") as file:
        kind, _ = content_of(file.read(LONGEST_START))
    ending = path.suffix.lower()
    named = "PNG" if ending == ".png" else "TIFF" if ending in TIFF else "JPEG"
    return kind if kind in DECODED else named


def _decode_png(path: Path, data: bytes, palette: str) -> np.ndarray:
    """Decode at full depth: Pillow alone reduces 16-bit colours to 8 bits silently."""
    with PIL.Image.open(io.BytesIO(data)) as image:
        image.load()  # refuses a truncated file, which the fast decoder would fill in
        check_upright(path, image.getexif().get(EXIF_ORIENTATION, 1))
        if image.mode == "1":
            return np.asarray(image).astype(np.uint8)
        if image.mode == "P":
            wanted = image if palette == "indices" else image.convert("RGB")
            return np.asarray(wanted)
    return np.asarray(imagecodecs.png_decode(data))


def _decode_jpeg(path: Path, data: bytes) -> np.ndarray:
    with PIL.Image.open(io.BytesIO(data)) as image:
        check_upright(path, image.getexif().get(EXIF_ORIENTATION, 1))
        _check_meaning(path, image.mode, MODES)
        return np.asarray(image)


def _check_meaning(path: Path, found: str, known: tuple[str, ...]) -> None:
    if found not in known:
        raise DataError(
            f"{path}: expected grey values or colours, found {found} pixels; "
            "save the image as plain grey or RGB"
        )


class _LoggedErrors(logging.Handler):
    """Collects the errors that tifffile only logs, as for missing pages at the end."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


def _decode_tiff(path: Path, data: bytes, palette: str) -> np.ndarray:
    errors = _LoggedErrors()
    logger = logging.getLogger("tifffile")
    logger.addHandler(errors)
    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            count = max([len(file.pages), *_ome_planes(file.ome_metadata or "")])
            if count > MOST_PAGES:
                raise DataError(
                    f"{path}: expected at most {MOST_PAGES} pages, found {count}; "
                    "write the stack as NIfTI, or split it"
                )
            # Reduced images are thumbnails.
            whole = [item for item in file.series if not item.keyframe.is_reduced]
            series = whole[0]
            size = math.prod(series.shape) * series.dtype.itemsize
            check_promise(path, size, len(data))
            array, axes = np.asarray(series.asarray()), str(series.axes)
            number, photometric = len(whole), series.keyframe.photometric
            jpeg = series.keyframe.compression == tifffile.COMPRESSION.JPEG
            turned = series.keyframe.tags.valueof(EXIF_ORIENTATION, 1)
            lacking = sum(page is None for page in series.pages)
    finally:
        logger.removeHandler(errors)
    if errors.texts:
        raise ValueError("; ".join(errors.texts))
    kind = tifffile.PHOTOMETRIC(photometric).name
    colours = ("YCBCR",) if jpeg else ()  # which the decoder turns to RGB
    indices = ("PALETTE",) if palette == "indices" else ()
    _check_meaning(path, kind, (*PIXELS, *colours, *indices))
    check_upright(path, turned)
    if lacking:
        raise DataError(
            f"{path}: expected all planes that its OME header lists, found {lacking} "
            "missing; fetch the whole set, and write it as one file"
        )
    if number > 1:
        raise DataError(
            f"{path}: expected one image, found {number} of different sizes; "
            "write each as a file of its own"
        )
    return _tiff_planes(path, array, axes)


def _ome_planes(ome: str) -> list[int]:
    """The largest number of planes that each image of an OME header promises."""
    return [
        math.prod(int(size) for size in OME_PLANES.findall(element))
        for element in OME_PIXELS.findall(ome)
    ]


def _tiff_planes(path: Path, array: np.ndarray, axes: str) -> np.ndarray:
    """The pixels as channel i j k, from the axes that tifffile names."""
    kept = [
        place
        for place, (axis, size) in enumerate(zip(axes, array.shape, strict=True))
        if size > 1 or axis in "XY"
    ]
    array = array.reshape([array.shape[place] for place in kept])
    axes = "".join(axes[place] for place in kept)
    if TIME in axes:
        raise DataError(
            f"{path}: expected an image or a stack of slices, found "
            f"{array.shape[axes.index(TIME)]} time points (axes {axes}); write each as "
            "a file of its own, or name them slices (Image, Properties in ImageJ)"
        )
    channel = [place for place, axis in enumerate(axes) if axis in CHANNELS]
    slices = [place for place, axis in enumerate(axes) if axis in SLICES]
    if len(channel) > 1 or len(slices) > 1 or not set(axes) <= {*KNOWN_AXES}:
        raise DataError(
            f"{path}: expected an image or a stack of slices, found axes {axes} with "
            f"shape {array.shape}; write each channel as a file of its own"
        )
    planes = array.transpose(*channel, axes.index("X"), axes.index("Y"), *slices)
    planes = planes if channel else planes[None]
    return planes if slices else planes[..., None]
