"""Panoptic: maps of a class and an instance at each voxel, and their conversions.

A semantic map has the class of each voxel, an instance map an id, 0 for none; a
panoptic map has both in one number. Things, such as nuclei, have instances; stuff, such
as the background, has none: its ids do not count. Void is what nobody annotated.

Source:
    Kirillov 2019, arXiv:1801.00868, section 3; ``rgb2id`` and ``id2rgb`` of the
    authors' panopticapi for the colours.
"""

from collections.abc import Collection, Mapping

import numpy as np
from jaxtyping import Int32, Int64, Integer, Num, UInt8

from segpipe.images.borders import number_from_one
from segpipe.images.instances import instances_of_structures

STEP = 1 << 31  # from a class to the next: ids have 31 bits
BYTE = 256
LARGEST_SEGMENT = BYTE**3 - 1  # the largest id that a colour of three bytes can be


def join(
    classes: Integer[np.ndarray, "*shape"],
    ids: Integer[np.ndarray, "*shape"],
    *,
    things: Collection[int],
) -> Int64[np.ndarray, "*shape"]:
    """The panoptic map of a semantic map and an instance map.

    Ids of 32 bits and more are numbered from 1, in their order.

    Args:
        classes: Class of each voxel; negative for void.
        ids: Instance of each voxel; 0 for none.
        things: Classes whose ids count; of all others, the stuff, they do not.
    """
    counted = np.where(np.isin(classes, list(things)), ids, 0)
    if counted.max(initial=0) >= STEP:
        counted, _ = number_from_one(counted)
    return classes.astype(np.int64) * STEP + counted.astype(np.int64)


def split(
    panoptic: Int64[np.ndarray, "*shape"],
) -> tuple[Int64[np.ndarray, "*shape"], Int64[np.ndarray, "*shape"]]:
    """The semantic map and the instance map of a panoptic map; stuff has no id."""
    return panoptic // STEP, panoptic % STEP


def find_segments(
    classes: Integer[np.ndarray, "i j k"], *, things: Collection[int]
) -> Int64[np.ndarray, "i j k"]:
    """The panoptic map of a semantic map: each component of a thing is an instance.

    Args:
        classes: Class of each voxel; negative for void.
        things: Classes that have instances.
    """
    counted = np.where(np.isin(classes, list(things)), classes, 0)
    ids = instances_of_structures(counted, ignore=None)
    return join(classes, ids, things=things)


def merge_segments(
    ids: Integer[np.ndarray, "*shape"], classes: Mapping[int, int]
) -> Int32[np.ndarray, "*shape"]:
    """The semantic map of an instance map: each voxel has the class of its id.

    Args:
        ids: Instance or segment of each voxel.
        classes: Class of each id; 0 is background, unless it is named.
    """
    found, place = np.unique(ids, return_inverse=True)
    table = [classes[one] if one else classes.get(0, 0) for one in found.tolist()]
    merged: np.ndarray = np.array(table, np.int32)[place].reshape(ids.shape)
    return merged


def from_colours(
    colours: Num[np.ndarray, "colour ..."],
) -> Int32[np.ndarray, "..."]:
    """The id of each pixel: red + 256 green + 256^2 blue.

    Args:
        colours: Whole numbers from 0 to 255, red, green and blue.
    """
    red, green, blue = colours.astype(np.int32)
    ids: np.ndarray = red + BYTE * (green + BYTE * blue)
    return ids


def to_colours(
    ids: Integer[np.ndarray, "..."],
) -> UInt8[np.ndarray, "colour ..."]:
    """Red, green and blue of each id, which is from 0 to LARGEST_SEGMENT."""
    assert 0 <= ids.min(initial=0) <= ids.max(initial=0) <= LARGEST_SEGMENT
    parts = [ids % BYTE, ids // BYTE % BYTE, ids // BYTE**2]
    return np.stack(parts).astype(np.uint8)
