"""Voxel values as every reader returns them: finite float32 or whole signed labels."""

from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int

from segpipe.project.errors import DataError

WHOLE = 1e-3  # labels saved as floats lie this close to whole numbers
LOWEST, LARGEST = -(2**31), 2**31 - 1


def _check_real(path: Path | str, array: np.ndarray) -> None:
    if array.dtype.kind not in "buif":
        raise DataError(
            f"{path}: expected real numbers, found {array.dtype}; write magnitude and "
            "phase, or what is meant, as channels of real numbers"
        )


def finite_float32(
    path: Path | str, array: np.ndarray
) -> Float32[np.ndarray, "*shape"]:
    """The values as float32, contiguous.

    Args:
        path: The file, for the error.
        array: Values of any real type.

    Raises:
        DataError: If a value is complex, NaN, infinite or beyond float32.
    """
    _check_real(path, array)
    with np.errstate(over="ignore"):  # an overflow becomes infinite and is refused
        values = np.ascontiguousarray(array, dtype=np.float32)
    if not np.isfinite(values).all():
        count = int((~np.isfinite(values)).sum())
        raise DataError(
            f"{path}: expected finite voxels, found {count} NaN or infinite; "
            "mask or fill them in the program that writes the image"
        )
    return values


def whole_labels(path: Path, array: np.ndarray) -> Int[np.ndarray, "i j k"]:
    """The labels as int8, int16 or int32, contiguous.

    Signed, because 0 - 1 in unsigned numbers is 255.

    Args:
        path: The file, for the error.
        array: Labels of any real type with axes i, j, k.

    Raises:
        DataError: If a value is further than 0.001 from a whole number, or beyond 32
            bits.
    """
    _check_real(path, array)
    whole = array
    if array.dtype.kind not in "iub":
        whole = np.rint(array)
        with np.errstate(invalid="ignore"):  # infinity is no whole number, either
            strange = ~(np.abs(array - whole) <= WHOLE)
        if strange.any():
            found = ", ".join(f"{value:g}" for value in np.unique(array[strange])[:5])
            raise DataError(
                f"{path}: expected whole labels, found {found}; "
                "was the label map resampled with linear interpolation?"
            )
    if whole.dtype.itemsize > 2 and (whole.max() > LARGEST or whole.min() < LOWEST):
        raise DataError(
            f"{path}: expected labels from {LOWEST} to {LARGEST}, found "
            f"{whole.min():.12g} to {whole.max():.12g}; renumber the structures"
        )
    if whole.dtype.kind == "b" or whole.dtype == np.uint8:
        return np.ascontiguousarray(whole, np.int16)
    if whole.dtype in (np.int8, np.int16):
        return np.ascontiguousarray(whole)
    return np.ascontiguousarray(whole, np.int32)
