"""PNG, TIFF and JPEG images: column = i, row = j, one k."""

import io
import os
from pathlib import Path

import imagecodecs
import numpy as np
import PIL.Image
import tifffile
from jaxtyping import Int

from segpipe.errors import DataError
from segpipe.grid import Grid
from segpipe.volume import Image, LabelMap

SUFFIXES = (".png", ".tif", ".tiff", ".jpg", ".jpeg")
# What the decoders were seen to raise over damaged files, and what they derive from.
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


def read_image(path: Path, *, spacing_mm: tuple[float, float] | None = None) -> Image:
    """Read an image at its full depth; colours (and alpha) become channels.

    A TIFF of several pages is a volume, page = k.

    Args:
        path: The file.
        spacing_mm: Distance of columns and of rows; None gives the unit px.

    Raises:
        DataError: If the file is damaged, of another kind, or not finite.
    """
    array = _read(path, palette="colours").astype(np.float32)
    if not np.isfinite(array).all():
        raise DataError(
            f"{path}: expected finite pixels, found NaN or infinite; "
            "mask or fill them where the image is made"
        )
    return Image(array, _grid(array.shape, spacing_mm))


def read_label(
    path: Path, *, spacing_mm: tuple[float, float] | None = None
) -> LabelMap:
    """Read a label map: one whole number a pixel; a palette is read as its indices.

    Raises:
        DataError: If the file is damaged, coloured or not whole.
    """
    array = _read(path, palette="indices")
    if len(array) != 1 and (array[:3] != array[:1]).any():
        raise DataError(
            f"{path}: expected one label a pixel, found {len(array)} channels; "
            "write the label map in grey values (structure 1 as 1, and so on)"
        )
    label = array[0]
    if not np.issubdtype(label.dtype, np.integer):
        if (label != np.rint(label)).any():
            raise DataError(
                f"{path}: expected whole labels, found fractions; "
                "was the label map resampled with linear interpolation?"
            )
        label = label.astype(np.int32)
    return LabelMap(np.ascontiguousarray(label), _grid(array.shape, spacing_mm))


def write_label(path: Path, array: Int[np.ndarray, "i j k"]) -> None:
    """Write a label map as PNG (0 to 65535) or TIFF (any 32-bit integer)."""
    _write(path, array[:, :, 0].T if array.shape[2] == 1 else array.T)


def write_image(path: Path, array: np.ndarray) -> None:
    """Write channels first (channel i j k, one k) as grey, RGB or RGBA."""
    plane = array[..., 0].transpose(2, 1, 0)
    _write(path, plane[..., 0] if plane.shape[2] == 1 else plane)


def _write(path: Path, plane: np.ndarray) -> None:
    plane = np.ascontiguousarray(plane)
    if path.suffix == ".png":
        depth = np.uint8 if plane.max(initial=0) <= 255 else np.uint16
        if plane.min(initial=0) < 0 or plane.max(initial=0) > 65535:
            raise DataError(
                f"{path}: expected values from 0 to 65535, found {plane.min()} to "
                f"{plane.max()}; use .tif images, whose labels may be any integer"
            )
        data = imagecodecs.png_encode(plane.astype(depth))
    else:
        if plane.dtype == np.int64:
            plane = plane.astype(np.int32)
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, plane, compression="zlib", datetime=None)
        data = buffer.getvalue()
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(data)
    os.replace(part, path)


def _grid(shape: tuple[int, ...], spacing_mm: tuple[float, float] | None) -> Grid:
    _, i, j, k = shape
    if spacing_mm is None:
        return Grid.from_spacing((i, j, k), (1.0, 1.0, 1.0), "px")
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
            return _decode_tiff(path, data)
        else:
            array = np.asarray(PIL.Image.open(io.BytesIO(data)))
    except DECODER_ERRORS as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"{path}: expected a whole {path.suffix[1:]} image, found {error}; "
            "the copy is damaged: fetch it again from where it came"
        ) from error
    planes = array[..., None] if array.ndim == 2 else array
    return planes.transpose(2, 1, 0)[..., None]


def _decode_png(data: bytes, palette: str) -> np.ndarray:
    """Decode at full depth: Pillow alone would cut 16-bit colours to 8 in silence."""
    with PIL.Image.open(io.BytesIO(data)) as image:
        image.load()  # notices what is cut off, which the fast decoder fills in
        if image.mode == "1":
            return np.asarray(image).astype(np.uint8)
        if image.mode == "P":
            wanted = image if palette == "indices" else image.convert("RGB")
            return np.asarray(wanted)
    return np.asarray(imagecodecs.png_decode(data))


def _decode_tiff(path: Path, data: bytes) -> np.ndarray:
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        series = file.series[0]
        array, axes = np.asarray(series.asarray()), str(series.axes)
    if axes in ("YX", "YXS", "SYX"):
        if axes == "YX":
            return array.T[None, ..., None]
        if axes == "SYX":
            array = np.moveaxis(array, 0, 2)
        return array.transpose(2, 1, 0)[..., None]
    if array.ndim == 3:  # pages of a stack
        return array.transpose(2, 1, 0)[None]
    raise DataError(
        f"{path}: expected an image or a stack of pages, found axes {axes} with shape "
        f"{array.shape}; write each channel or time point as a file of its own"
    )
