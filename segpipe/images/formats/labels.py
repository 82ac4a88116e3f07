"""Label values as every door gives them: whole, signed, of at most 32 bits."""

from pathlib import Path

import numpy as np
from jaxtyping import Int

from segpipe.project.errors import DataError

WHOLE = 1e-3  # labels saved as floats come within this of whole numbers
LOWEST, LARGEST = -(2**31), 2**31 - 1


def whole_labels(path: Path, array: np.ndarray) -> Int[np.ndarray, "i j k"]:
    """The labels as int8, int16 or int32, contiguous.

    Signed, because 0 - 1 in unsigned numbers is 255.

    Args:
        path: Whose values they are, for the error.
        array: Axes i, j, k, of any real type.

    Raises:
        DataError: If a value is further than 0.001 from a whole number, or beyond 32
            bits.
    """
    whole = array
    if array.dtype.kind not in "iub":
        whole = np.rint(array)
        with np.errstate(invalid="ignore"):  # infinity is strange, too
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
            f"{whole.min():.12g} to {whole.max():.12g}; number the structures anew"
        )
    if whole.dtype.kind == "b" or whole.dtype == np.uint8:
        return np.ascontiguousarray(whole, np.int16)
    if whole.dtype in (np.int8, np.int16):
        return np.ascontiguousarray(whole)
    return np.ascontiguousarray(whole, np.int32)
