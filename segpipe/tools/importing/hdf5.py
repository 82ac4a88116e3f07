"""Read HDF5 files with named data sets, stored as k, j, i (z, y, x)."""

from pathlib import Path

import h5py
import numpy as np

from segpipe.images.grid import Grid, Triple
from segpipe.images.values import finite_float32, whole_labels
from segpipe.images.volume import Image, LabelMap
from segpipe.project.errors import DataError

SUFFIXES = (".h5", ".hdf5")
MM_PER_MICRON = 0.001


def is_hdf5(path: Path) -> bool:
    """Whether a file is HDF5, by the ending of its name."""
    return path.name.lower().endswith(SUFFIXES) and not path.name.startswith(".")


def read_image(path: Path, *, key: str) -> Image:
    """Read an image with axes k, j, i or channel, k, j, i; a plane has axes j, i.

    Args:
        path: The file.
        key: Name of the data set. Its attribute ``element_size_um`` (k, j, i) gives the
            spacing; without it the unit is px.

    Raises:
        DataError: If the file is damaged or lacks the data set, or if a voxel is not
            finite.
    """
    array, spacing_mm = _read(path, key)
    planes = array[None] if array.ndim < 4 else array
    channels = planes.transpose(0, *range(planes.ndim - 1, 0, -1))
    if channels.ndim == 3:
        channels = channels[..., None]
    grid = _grid((channels.shape[1], channels.shape[2], channels.shape[3]), spacing_mm)
    return Image(finite_float32(f"{path}, {key}", channels), grid)


def read_label(path: Path, *, key: str) -> LabelMap:
    """Read a label map with axes k, j, i; a plane has axes j, i.

    Raises:
        DataError: As for read_image, or if the values are not whole.
    """
    array, spacing_mm = _read(path, key)
    if array.ndim == 4:
        raise DataError(
            f"{path}, {key}: expected one number a voxel, found shape "
            f"{array.shape}; is another data set the label map?"
        )
    label = array.T if array.ndim == 3 else array.T[..., None]
    grid = _grid((label.shape[0], label.shape[1], label.shape[2]), spacing_mm)
    return LabelMap(whole_labels(path, label), grid)


def _read(path: Path, key: str) -> tuple[np.ndarray, tuple[float, ...] | None]:
    """The data set in its stored type and axes, and its spacing along i, j, k."""
    if not path.is_file():
        raise DataError(f"{path}: expected an HDF5 file, found none")
    try:
        with h5py.File(path, "r") as file:
            if not isinstance(file.get(key), h5py.Dataset):
                raise DataError(
                    f"{path}: expected a data set {key}, found {_names(file)}; name it "
                    "with --image-key or --label-key"
                )
            data = file[key]
            array, size_um = np.asarray(data[()]), data.attrs.get("element_size_um")
    except (OSError, RuntimeError, KeyError) as error:
        raise DataError(
            f"{path}: expected a whole HDF5 file, found {error}; "
            "the file is damaged: fetch it again from its source"
        ) from error
    if array.ndim not in (2, 3, 4) or array.size == 0 or array.dtype.kind not in "buif":
        raise DataError(
            f"{path}, {key}: expected numbers with axes k, j, i, found shape "
            f"{array.shape} of {array.dtype}; write each volume as its own data set"
        )
    return array, _spacing(path, key, size_um)


def _names(file: h5py.File) -> str:
    found: list[str] = []
    file.visititems(
        lambda name, item: (
            found.append(name) if isinstance(item, h5py.Dataset) else None
        )
    )
    return ", ".join(found) or "none"


def _spacing(path: Path, key: str, size_um: object) -> tuple[float, ...] | None:
    if size_um is None:
        return None
    sizes = np.atleast_1d(np.asarray(size_um, np.float64))
    if sizes.shape != (3,) or not np.isfinite(sizes).all() or (sizes <= 0).any():
        raise DataError(
            f"{path}, {key}: expected three sizes above 0 in element_size_um, found "
            f"{sizes.tolist()}; correct or delete the attribute"
        )
    k, j, i = (float(size) * MM_PER_MICRON for size in sizes)
    return i, j, k


def _grid(shape: Triple, spacing_mm: tuple[float, ...] | None) -> Grid:
    if spacing_mm is None:
        return Grid.from_spacing(shape, (1.0, 1.0, 1.0), "px")
    i, j, k = spacing_mm
    return Grid.from_spacing(shape, (i, j, k), "mm")
