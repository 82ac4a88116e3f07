"""Surface Dice: the share of two surfaces, by area, that lies near the other one."""

import itertools
import math

import edt
import numpy as np
from jaxtyping import Bool, Float64, UInt8
from scipy import ndimage

from segpipe.images.grid import Spacing

TIE = 1e-5  # a distance that is larger by a smaller fraction equals the tolerance
MANY = 1_000_000  # elements; with more of them a map of distances takes less memory

# The surface between eight voxels: the voxels inside, numbered 4 i + 2 j + k, and the
# normals of its triangles. Their lengths are areas, in eighths of the voxel's faces.
# All others follow by turning, mirroring, and exchanging inside and outside.
ELEMENTS = {
    (0,): [(1, 1, 1)],
    (0, 1): [(2, 2, 0)] * 2,
    (0, 3): [(1, 1, 1)] * 2,
    (0, 7): [(1, 1, 1)] * 2,
    (0, 1, 2): [(1, 1, 1), (2, 2, 2), (4, 0, 0)],
    (0, 1, 6): [(1, 1, 1), (2, 2, 0), (2, 2, 0)],
    (0, 3, 5): [(1, 1, 1)] * 3,
    (0, 1, 2, 3): [(4, 0, 0)] * 2,
    (0, 1, 2, 4): [(1, 1, 1), (1, 1, 1), (2, 2, 2), (2, 2, 2)],
    (0, 1, 2, 5): [(1, 1, 1), (3, 3, 3), (0, 2, 2), (2, 0, 2)],
    (0, 1, 2, 7): [(1, 1, 1), (1, 1, 1), (2, 2, 2), (4, 0, 0)],
    (0, 1, 6, 7): [(2, 2, 0)] * 4,
    (0, 3, 5, 6): [(1, 1, 1)] * 4,
}


def surface_dice(
    reference: Bool[np.ndarray, "i j k"],
    prediction: Bool[np.ndarray, "i j k"],
    *,
    spacing: Spacing,
    tolerance: float,
) -> float:
    """Share of both surfaces that is within the tolerance of the other surface.

    A surface runs between voxels inside and outside the mask; outside the image
    nothing is inside. It consists of elements, one among each eight neighbours: areas
    in a volume, and lengths of a contour among four neighbours in an image of one
    slice. An element is as far from the other surface as its centre is from the
    centres of the other's elements; a distance equal to the tolerance is within it.

    Args:
        reference: Where the structure is; not empty.
        prediction: Where it was predicted, on the same grid; not empty.
        spacing: Spacing of the grid.
        tolerance: In the unit of the spacing.

    Source:
        Nikolov 2018, arXiv:1809.04430, and its implementation, DeepMind's
        surface-distance.
    """
    assert reference.any()
    assert prediction.any()
    box = ndimage.find_objects((reference | prediction).astype(np.uint8))[0]
    flat = [axis for axis, size in enumerate(reference.shape) if size == 1][-1:]
    steps = [step for axis, step in enumerate(spacing) if axis not in flat]
    measures = _contour_lengths(steps) if flat else _areas(steps)
    codes = [_codes(mask[box].squeeze(tuple(flat))) for mask in (reference, prediction)]
    borders = [(code > 0) & (code < len(measures) - 1) for code in codes]
    whole, near = 0.0, 0.0
    for code, border, other in zip(codes, borders, borders[::-1], strict=True):
        own = code[border]
        whole += _measure(own, measures)
        near += _measure(own[_is_near(border, other, steps, tolerance)], measures)
    return near / whole


def _is_near(
    border: Bool[np.ndarray, "..."],
    other: Bool[np.ndarray, "..."],
    spacing: list[float],
    tolerance: float,
) -> Bool[np.ndarray, " n"]:
    """Whether each place of a border is within the tolerance of the other border.

    Args:
        border: Where one border is.
        other: Where the other border is.
        spacing: Distance of places along each axis.
        tolerance: In the unit of the spacing.
    """
    reach = tolerance * (1 + TIE)
    near: np.ndarray = other[border]
    if max(np.count_nonzero(border), np.count_nonzero(other)) > MANY:
        apart = edt.edt(~other, anisotropy=spacing, black_border=False, parallel=1)
        return np.asarray(apart[border] <= reach)
    from scipy.spatial import KDTree  # slow, and plan and train measure no surface

    tree = KDTree(np.argwhere(other) * spacing, balanced_tree=False)
    places = np.argwhere(border)[~near] * spacing
    distances, _ = tree.query(
        places, distance_upper_bound=math.nextafter(reach, math.inf)
    )
    near[~near] = distances <= reach
    return near


def _measure(codes: UInt8[np.ndarray, " n"], measures: np.ndarray) -> float:
    """Area or length of some elements."""
    return float(np.bincount(codes, minlength=len(measures)) @ measures)


def _codes(mask: Bool[np.ndarray, "..."]) -> UInt8[np.ndarray, "..."]:
    """Which of the neighbours of each corner of the voxels are inside, as bits.

    Bit 4 i + 2 j + k stands for the neighbour i, j, k of 0 and 1; in a plane 2 i + j.
    """
    padded = np.pad(mask, 1).view(np.uint8)
    shape = tuple(size + 1 for size in mask.shape)
    codes = np.zeros(shape, dtype=np.uint8)
    for bit, place in enumerate(itertools.product((0, 1), repeat=mask.ndim)):
        part = tuple(slice(p, p + n) for p, n in zip(place, shape, strict=True))
        codes += padded[part] << np.uint8(bit)
    return codes


def _areas(spacing: list[float]) -> Float64[np.ndarray, "256"]:
    """Area of the element of each code of eight voxels."""
    areas = np.zeros(256)
    faces = np.prod(spacing) / np.array(spacing)
    for (voxels, normals), axes, flips in itertools.product(
        ELEMENTS.items(),
        itertools.permutations(range(3)),
        itertools.product((0, 1), repeat=3),
    ):
        turned = np.array(normals)[:, axes] / 8 * faces
        code = 0
        for voxel in voxels:
            place = voxel >> 2, voxel >> 1 & 1, voxel & 1
            bits = [place[axis] ^ flip for axis, flip in zip(axes, flips, strict=True)]
            code |= 1 << (4 * bits[0] + 2 * bits[1] + bits[2])
        areas[[code, 255 - code]] = np.linalg.norm(turned, axis=1).sum()
    return areas


def _contour_lengths(spacing: list[float]) -> Float64[np.ndarray, "16"]:
    """Length of the contour of each code of four pixels."""
    corner = math.hypot(*spacing) / 2
    lengths = np.full(16, corner)
    lengths[[0b0000, 0b1111]] = 0
    lengths[[0b0110, 0b1001]] = 2 * corner  # two corners
    lengths[[0b0101, 0b1010]] = spacing[0]
    lengths[[0b0011, 0b1100]] = spacing[1]
    return lengths
