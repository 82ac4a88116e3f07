"""Seeds: divide a structure into instances, by a watershed from seeds inside it."""

from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Float32, Int32
from scipy import ndimage

from segpipe.images.grid import Spacing
from segpipe.images.instances import Connectivity, components, distance_inside

Seeds = Literal["probability", "depth", "distance"]


def split_by_seeds(
    mask: Bool[np.ndarray, "i j k"],
    inside: Float[np.ndarray, "i j k"],
    *,
    seeds: Seeds,
    threshold: float,
    spacing: Spacing,
) -> Int32[np.ndarray, "i j k"]:
    """The instances of a mask: a watershed from seeds, numbered from 1.

    A component without a seed is an instance as it is; one with several is divided
    where the landscape between them is highest, so that all of the mask is given away.

    Args:
        mask: Voxels of a structure.
        inside: Probability that a voxel lies inside an instance and not where two of
            them meet, or how deep it lies there; not read for seeds by distance.
        seeds: By ``probability``, seeds are the components of what lies above the
            threshold, and the landscape is the negative probability. By ``depth``,
            they may hang together at edges, and what lies around them is given away
            over faces first: lines of one voxel keep them apart. By ``distance``, they
            are the maxima of the smoothed distance to the outside that lie at
            least the threshold apart, and the landscape is the negative distance.
        threshold: A probability, a depth, or a distance in the unit of the spacing.
        spacing: Voxel spacing.

    Source:
        Beucher and Meyer 1993, the watershed from markers, as scikit-image has it. The
        probability inside: Caicedo 2019, doi:10.1002/cyto.a.23863, classes for
        interior and boundary.
    """
    whole = components(mask, connectivity="all")
    if not whole.any():
        return whole
    if seeds != "distance":
        landscape, marks = inside.astype(np.float32), mask & (inside > threshold)
    else:
        landscape = _smoothed_distance(mask, spacing)
    result, count = np.zeros_like(whole), 0
    from skimage.segmentation import watershed  # slow, and few models have instances

    for number, box in enumerate(ndimage.find_objects(whole), start=1):
        own = whole[box] == number
        if seeds != "distance":
            joined: Connectivity = "edges" if seeds == "depth" else "faces"
            found = components(own & marks[box], connectivity=joined)
        else:
            found = _peaks(np.where(own, landscape[box], 0), threshold, spacing)
        if (n := int(found.max())) > 1:
            for ways in (1, 3) if seeds == "depth" else (3,):
                found = watershed(-landscape[box], found, connectivity=ways, mask=own)
        else:
            found, n = own.astype(np.int32), 1
        result[box][own] = found[own] + count
        count += n
    return result


def _smoothed_distance(
    mask: Bool[np.ndarray, "i j k"], spacing: Spacing
) -> Float32[np.ndarray, "i j k"]:
    """Distance to the outside of a mask, smoothed over a voxel; 0 outside."""
    far = distance_inside(mask, spacing)
    width = [float(size > 1) for size in mask.shape]
    smooth: np.ndarray = ndimage.gaussian_filter(far, width, mode="nearest")
    return np.where(mask, smooth, np.float32(0))


def _peaks(
    landscape: Float32[np.ndarray, "i j k"], apart: float, spacing: Spacing
) -> Int32[np.ndarray, "i j k"]:
    """The maxima that lie at least a distance apart along an axis, numbered."""
    size = [2 * int(apart / own) + 1 for own in spacing]
    highest = ndimage.maximum_filter(landscape, size, mode="constant")
    peaks = (landscape == highest) & (landscape > 0)
    return components(peaks, connectivity="all")
