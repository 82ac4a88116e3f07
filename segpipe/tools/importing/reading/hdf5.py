"""Read HDF5 files with named data sets, stored as k, j, i (z, y, x)."""

import logging
import re
from pathlib import Path

import h5py
import numpy as np

from segpipe.images.contract import LONGEST_START, check_content, check_promise
from segpipe.images.grid import Grid, Triple
from segpipe.images.values import finite_float32, whole_labels
from segpipe.images.volume import Image, LabelMap
from segpipe.project.errors import DataError

SUFFIXES = (".h5", ".hdf5")
MM_PER_MICRON = 0.001
FEW = 4  # channels at most, where their axis must be guessed
# Attributes that other programs store a spacing in, of no agreed unit or order.
UNREAD = re.compile(r"spacing|resolution|voxel|pixel.?size|scale", re.IGNORECASE)
log = logging.getLogger(__name__)


def is_hdf5(path: Path) -> bool:
    """Whether a file is HDF5, by the ending of its name."""
    return path.name.lower().endswith(SUFFIXES) and not path.name.startswith(".")


def read_image(path: Path, *, key: str) -> Image:
    """Read an image with axes k, j, i or channel, k, j, i; a plane has axes j, i.

    Axes that the file names take precedence: the attribute ``axes`` ("zyxc"), the
    ``axistags`` of ilastik, or the labels of the dimensions.

    Args:
        path: The file.
        key: Name of the data set. Its attribute ``element_size_um`` (k, j, i) gives the
            spacing; without it the unit is px.

    Raises:
        DataError: If the file is damaged or lacks the data set, or if a voxel is not
            finite; if it has time points, or channels that seem to come last.
    """
    array, spacing_mm = _read(path, key)
    grid = _grid((array.shape[1], array.shape[2], array.shape[3]), spacing_mm)
    return Image(finite_float32(f"{path}, {key}", array), grid)


def read_label(path: Path, *, key: str) -> LabelMap:
    """Read a label map with axes k, j, i; a plane has axes j, i.

    Raises:
        DataError: As for read_image, or if the values are not whole.
    """
    array, spacing_mm = _read(path, key)
    if len(array) != 1:
        raise DataError(
            f"{path}, {key}: expected one number a voxel, found {len(array)} channels; "
            "is another data set the label map?"
        )
    label = array[0]
    grid = _grid((label.shape[0], label.shape[1], label.shape[2]), spacing_mm)
    return LabelMap(whole_labels(path, label), grid)


def read_sets(path: Path) -> dict[str, str]:
    """The data sets of a file by name, with shape and type in words.

    Raises:
        DataError: If the file is damaged.
    """
    found: dict[str, str] = {}
    try:
        with h5py.File(path) as file:
            for name in _listed(file):
                found[name] = f"{file[name].shape} {file[name].dtype}"
    except (OSError, RuntimeError, KeyError) as error:
        raise _damaged(path, error) from error
    return found


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(
        f"{path}: expected a whole HDF5 file, found {error}; "
        "the file is damaged: fetch it again from its source"
    )


def _read(path: Path, key: str) -> tuple[np.ndarray, tuple[float, ...] | None]:
    """The data set as channel i j k in its own type, and its spacing along i, j, k."""
    if not path.is_file():
        raise DataError(f"{path}: expected an HDF5 file, found none")
    with path.open("rb") as start:
        check_content(path, start.read(LONGEST_START), "HDF5")
    try:
        with h5py.File(path, "r") as file:
            if not isinstance(file.get(key), h5py.Dataset):
                raise DataError(
                    f"{path}: expected a data set {key}, found "
                    f"{', '.join(_listed(file)) or 'none'}; name it "
                    "with --image-key or --label-key"
                )
            data = file[key]
            check_promise(f"{path}, {key}", data.nbytes, data.id.get_storage_size())
            array, size_um = np.asarray(data[()]), data.attrs.get("element_size_um")
            axes = _named_axes(data)
            unread = [name for name in data.attrs if UNREAD.search(name)]
    except (OSError, RuntimeError, KeyError) as error:
        raise _damaged(path, error) from error
    if array.ndim not in (2, 3, 4) or array.size == 0 or array.dtype.kind not in "buif":
        raise DataError(
            f"{path}, {key}: expected numbers with axes k, j, i, found shape "
            f"{array.shape} of {array.dtype}; write each volume as its own data set"
        )
    if size_um is None and unread:
        log.warning(
            "%s, %s: %s is not read; give --spacing-mm if it states the spacing",
            path,
            key,
            ", ".join(unread),
        )
    return _ordered(f"{path}, {key}", array, axes), _spacing(path, key, size_um)


def _named_axes(data: h5py.Dataset) -> str:
    """The axes that the file names, a letter each; empty if it names not all."""
    tags, axes = data.attrs.get("axistags"), data.attrs.get("axes")
    if isinstance(tags, str | bytes):
        letters = re.findall(r'"key": *"(\w)"', str(tags))
    elif isinstance(axes, str | bytes):
        letters = list(axes if isinstance(axes, str) else axes.decode())
    else:
        letters = [str(dimension.label)[:1] for dimension in data.dims]
    named = "".join(letters).lower()
    return named if len(named) == data.ndim else ""


def _ordered(where: str, array: np.ndarray, axes: str) -> np.ndarray:
    """The array as channel i j k."""
    if not axes and array.ndim == 4 and array.shape[3] <= FEW < array.shape[0]:
        raise DataError(
            f"{where}: expected axes channel, k, j, i, found shape {array.shape}: the "
            'channels seem to come last; name the axes in the attribute axes ("zyxc"), '
            "or move the channels to the front"
        )
    axes = axes or "czyx"[-array.ndim :]
    kept = [n for n, axis in enumerate(axes) if array.shape[n] > 1 or axis in "zyxc"]
    array = array.reshape([array.shape[n] for n in kept])
    axes = "".join(axes[n] for n in kept)
    if len(set(axes)) < len(axes) or not {*"yx"} <= {*axes} <= {*"zyxc"}:
        raise DataError(
            f"{where}: expected the axes c, z, y, x, found {axes} with shape "
            f"{array.shape}; write each time point as its own data set"
        )
    array = array.transpose([axes.index(axis) for axis in "cxyz" if axis in axes])
    array = array if "c" in axes else array[None]
    return array if "z" in axes else array[..., None]


def _listed(file: h5py.File) -> list[str]:
    found: list[str] = []
    file.visititems(
        lambda name, item: (
            found.append(name) if isinstance(item, h5py.Dataset) else None
        )
    )
    return found


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
