"""Instances: what becomes of the ids of instances where a label map was corrected."""

import numpy as np
from jaxtyping import Bool, Int32, Integer
from scipy import ndimage

from segpipe.images.instances import components


def carry_instances(
    ids: Integer[np.ndarray, "i j k"],
    before: Integer[np.ndarray, "i j k"],
    after: Integer[np.ndarray, "i j k"],
) -> Int32[np.ndarray, "i j k"]:
    """The ids of instances after a correction of the label map.

    A voxel that kept its structure keeps its id. An instance that was cut becomes one
    for each part. What was drawn anew belongs to the nearest instance of its structure
    if it touches one, and is a new instance otherwise.

    Args:
        ids: Instance ids before; 0 for none.
        before: The label map before.
        after: The label map after.
    """
    changed = before != after
    result = np.where(changed | (after == 0), 0, ids).astype(np.int32)
    last = int(ids.max(initial=0))
    for one in np.unique(ids[changed & (ids > 0)]):
        parts = components(result == one, connectivity="all")
        for part in range(2, int(parts.max(initial=0)) + 1):
            last += 1
            result[parts == part] = last
    for value in np.unique(after[changed & (after != 0)]):
        last = _grow(result, after == value, changed & (after == value), last)
    return result


def _grow(
    result: Int32[np.ndarray, "i j k"],
    structure: Bool[np.ndarray, "i j k"],
    drawn: Bool[np.ndarray, "i j k"],
    last: int,
) -> int:
    """Give ids to what was drawn of a structure; returns the largest id."""
    known = (result > 0) & structure
    nearest = None
    if known.any():
        places = ndimage.distance_transform_edt(
            ~known, return_distances=False, return_indices=True
        )
        nearest = result[tuple(places)]
    parts = components(drawn, connectivity="all")
    around = ndimage.binary_dilation(known, np.ones((3, 3, 3)))
    for number in range(1, int(parts.max(initial=0)) + 1):
        part = parts == number
        if nearest is not None and (part & around).any():
            result[part] = nearest[part]
        else:
            last += 1
            result[part] = last
    return last
