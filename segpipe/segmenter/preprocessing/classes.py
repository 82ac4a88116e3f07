"""Classes: the data set's values to indices, and back."""

import numpy as np
from jaxtyping import Int16, Integer

from segpipe.project.errors import DataError
from segpipe.segmenter.plan import Plan

NOT_ANNOTATED = -1  # class index of voxels without a label


def classes_of(
    values: Integer[np.ndarray, "i j k"], plan: Plan
) -> Int16[np.ndarray, "i j k"]:
    """The class index of each voxel; NOT_ANNOTATED where the value is ignore.

    Raises:
        DataError: If a value is neither that of a structure nor ignore.
    """
    known = np.unique(values)
    meaning = {value: index for index, value in enumerate(plan.values)}
    if plan.ignore is not None:
        meaning[plan.ignore] = NOT_ANNOTATED
    strange = [int(value) for value in known if int(value) not in meaning]
    if strange:
        raise DataError(
            f"expected the values {sorted(meaning)} of dataset.json, found {strange}; "
            "add them to labels, or mend the label map"
        )
    table = np.array([meaning[int(value)] for value in known], dtype=np.int16)
    return np.asarray(table[np.searchsorted(known, values)])


def values_of(
    classes: Int16[np.ndarray, "i j k"], plan: Plan
) -> Integer[np.ndarray, "i j k"]:
    """The data set's value of each class index: the inverse of classes_of."""
    return np.asarray(np.array(plan.values, dtype=label_dtype(plan))[classes])


def label_dtype(plan: Plan) -> np.dtype:
    """The smallest integer type that holds the data set's values."""
    return np.result_type(*(np.min_scalar_type(value) for value in plan.values))
