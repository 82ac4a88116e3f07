"""PNG, TIFF and JPEG files: column = i, row = j; pages of a TIFF = k."""

import io
import logging
import struct
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import PIL.Image
import tifffile
from jaxtyping import Integer

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
    PIL.Image.DecompressionBombError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
EXIF_ORIENTATION = 274
LOSSY = (".jpg", ".jpeg")


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
    if path.suffix.lower() in LOSSY:
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
    try:
        if path.suffix.lower() == ".png":
            array = _decode_png(data, palette)
        elif path.suffix.lower() in (".tif", ".tiff"):
            return _decode_tiff(path, data, palette)
        else:
            array = _decode_jpeg(path, data)
    except DataError:
        raise
    except DECODER_ERRORS as error:
        raise DataError(
            f"{path}: expected a whole {path.suffix[1:]} image, found {error}; "
            "the file is damaged: fetch it again from its source"
        ) from error
    planes = array[..., None] if array.ndim == 2 else array
    return planes.transpose(2, 1, 0)[..., None]


def _decode_png(data: bytes, palette: str) -> np.ndarray:
    """Decode at full depth: Pillow alone reduces 16-bit colours to 8 bits silently."""
    with PIL.Image.open(io.BytesIO(data)) as image:
        image.load()  # refuses a truncated file, which the fast decoder would fill in
        if image.mode == "1":
            return np.asarray(image).astype(np.uint8)
        if image.mode == "P":
            wanted = image if palette == "indices" else image.convert("RGB")
            return np.asarray(wanted)
    return np.asarray(imagecodecs.png_decode(data))


def _decode_jpeg(path: Path, data: bytes) -> np.ndarray:
    with PIL.Image.open(io.BytesIO(data)) as image:
        turned = image.getexif().get(EXIF_ORIENTATION, 1)
        if turned not in (0, 1):
            raise DataError(
                f"{path}: expected pixels in their final orientation, found EXIF "
                f"orientation {turned}; apply it (`mogrify -auto-orient`), so that "
                "image and label map agree"
            )
        return np.asarray(image)


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
            # Reduced images are thumbnails.
            whole = [item for item in file.series if not item.keyframe.is_reduced]
            series = whole[0]
            array, axes = np.asarray(series.asarray()), str(series.axes)
            number, photometric = len(whole), series.keyframe.photometric
    finally:
        logger.removeHandler(errors)
    if errors.texts:
        raise ValueError("; ".join(errors.texts))
    kind = tifffile.PHOTOMETRIC(photometric).name
    if kind == "MINISWHITE" or (kind == "PALETTE" and palette == "colours"):
        raise DataError(
            f"{path}: expected grey values or colours, found {kind} pixels; "
            "save the image as plain grey or RGB"
        )
    if number > 1:
        raise DataError(
            f"{path}: expected one image, found {number} of different sizes; "
            "write each as a file of its own"
        )
    return _tiff_planes(path, array, axes)


def _tiff_planes(path: Path, array: np.ndarray, axes: str) -> np.ndarray:
    if axes == "YX":
        return array.T[None, ..., None]
    if axes in ("YXS", "SYX"):
        last = np.moveaxis(array, 0, 2) if axes == "SYX" else array
        return last.transpose(2, 1, 0)[..., None]
    if array.ndim == 3 and "S" not in axes:  # pages of a stack
        return array.transpose(2, 1, 0)[None]
    raise DataError(
        f"{path}: expected an image or a stack of pages, found axes {axes} with shape "
        f"{array.shape}; write each channel or time point as a file of its own"
    )
