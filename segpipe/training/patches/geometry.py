"""Geometry: rotate, scale and deform patches, without a loss at their corners.

Where each voxel of a patch takes its value from is drawn before the patch is cut. What
is cut is the box of the case in which these places lie, so that the whole patch is
filled from the case, as far as the case reaches.
"""

import itertools
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64
from torch import Tensor
from torch.nn import functional as F

from segpipe.images.grid import Triple
from segpipe.training.patches.augmentation import AugmentationParams, still_axis

Corner = tuple[float, float, float]


@dataclass(frozen=True)
class Window:
    """The window of a case that a patch would show without rotation and scaling.

    Attributes:
        start: First voxel of the window in the case; it may lie outside the case.
        size: Voxels of the window, which is the output of the network.
        margin: Voxels on each side by which the network's input is larger.
        case: Shape of the case.
        kept: First voxel and end of the part of the window that has to stay in the
            patch, if it can, along i, j, k, counted from the window's first voxel.
    """

    start: Triple
    size: Triple
    margin: Triple
    case: Triple
    kept: tuple[Corner, Corner]

    @property
    def patch_size(self) -> Triple:
        """Voxels of the network's input."""
        i, j, k = (n + 2 * m for n, m in zip(self.size, self.margin, strict=True))
        return i, j, k


@dataclass(frozen=True, eq=False)
class Source:
    """A box of a case, and the places in it from which the voxels of a patch come.

    Attributes:
        start: First voxel of the box in the case.
        size: Voxels of the box.
        places: Place of each voxel of the patch, in the coordinates of grid_sample.
    """

    start: Triple
    size: Triple
    places: Float32[Tensor, "i j k 3"]


def window_at(
    start: Triple, size: Triple, *, margin: Triple, case: Triple, place: Triple | None
) -> Window:
    """The window of a patch, and what of it stays in the patch when it is rotated.

    That is the part inside the case; of a window on a structure, what lies within a
    quarter of the window around the voxel that was drawn.

    Args:
        start: First voxel of the window in the case.
        size: Voxels of the window.
        margin: Voxels on each side by which the network's input is larger.
        case: Shape of the case.
        place: The voxel of a structure on which the window was drawn, if any.
    """
    low, high = np.maximum(0, -np.array(start)), np.minimum(size, _minus(case, start))
    if place is not None:
        local, quarter = _minus(place, start), np.array(size) / 4
        low, high = (
            np.maximum(low, local - quarter),
            np.minimum(high, local + 1 + quarter),
        )
    return Window(start, size, margin, case, (_corner(low), _corner(high)))


def _minus(one: Triple, other: Triple) -> np.ndarray:
    difference: np.ndarray = np.array(one) - np.array(other)
    return difference


def _corner(values: np.ndarray) -> Corner:
    i, j, k = (float(value) for value in values)
    return i, j, k


def draw_sources(
    params: AugmentationParams,
    window: Window,
    *,
    spacing: tuple[float, float, float],
    slice_axis: int | None,
    generator: torch.Generator,
) -> tuple[Source, Source]:
    """Draw where a patch takes its voxels from.

    Args:
        params: The section ``augmentation``.
        window: The window that is rotated, scaled and deformed.
        spacing: Spacing of the prepared grid, so that rotations are rotations in the
            world.
        slice_axis: Axis of size 1 of a 2-D network's patches, which stays in place.
        generator: Generator on the CPU.

    Returns:
        The source of the image, in the size of the network's input, and that of
        reference and weight, in the size of its output. The box of the image lies in
        the case, at whose edges places are mirrored; that of the reference reaches at
        most one voxel beyond it.
    """
    size = window.patch_size
    still = still_axis(size, slice_axis)
    matrix = _matrix(params, spacing, still, generator)
    places = _affine_places(matrix, window)
    if params.elastic_deviation:
        places = places + displacements(
            size,
            deviation=params.elastic_deviation,
            spacing=params.elastic_spacing,
            slice_axis=still,
            generator=generator,
        )
    i, j, k = (slice(m, m + n) for m, n in zip(window.margin, window.size, strict=True))
    drawn, straight = places[i, j, k], not params.elastic_deviation
    inner, outer = _extremes(drawn, straight), _extremes(places, straight)
    ends = _clamped(torch.stack(inner), window.case)
    reference = _find_source(_clamped(drawn, window.case), ends[0], ends[1])
    beyond = [
        axis
        for axis, case in enumerate(window.case)
        if outer[0][axis] < 0 or outer[1][axis] > case - 1
    ]
    if beyond:
        places = _mirrored(places, window.case, beyond)
        outer = _extremes(places, straight=False)
    return _find_source(places, *outer), reference


def _affine_places(
    matrix: Float64[np.ndarray, "3 3"], window: Window
) -> Float32[Tensor, "i j k 3"]:
    """Places of the patch's voxels in the case; the centre of its first voxel is 0."""
    middle = np.array(window.size) / 2  # in coordinates of faces: a voxel is [0, 1]
    first = 0.5 - np.array(window.margin)
    centre = middle - matrix @ _shift(matrix, window)
    start = centre + matrix @ (first - middle) - 0.5 + np.array(window.start)
    i, j, k = (
        torch.from_numpy((np.arange(n)[:, None] * matrix[:, axis]).astype(np.float32))
        for axis, n in enumerate(window.patch_size)
    )
    i = i + torch.from_numpy(start.astype(np.float32))
    return i[:, None, None] + j[None, :, None] + k[None, None]


def _shift(
    matrix: Float64[np.ndarray, "3 3"], window: Window
) -> Float64[np.ndarray, "3"]:
    """The least move of the content that keeps window.kept in the patch, in its voxels.

    A part that does not fit along an axis is moved to the middle.
    """
    middle = np.array(window.size) / 2
    corners = np.array(list(itertools.product(*zip(*window.kept, strict=True))))
    moved = (corners - middle) @ np.linalg.inv(matrix).T
    least, most = -middle - moved.min(0), middle - moved.max(0)
    shift: np.ndarray = (least + most) / 2
    return np.where(least <= most, np.clip(0, least, most), shift)


def _mirrored(
    places: Float32[Tensor, "i j k 3"], case: Triple, axes: list[int]
) -> Float32[Tensor, "i j k 3"]:
    """Mirror places at the edge voxels of the case, as mirrored_window does.

    Args:
        places: The places.
        case: Shape of the case.
        axes: The axes along which places lie beyond the case.
    """
    mirrored = places.clone()
    for axis in axes:
        last = case[axis] - 1
        turned = places[..., axis].remainder(max(1, 2 * last))
        turned = torch.minimum(turned, 2 * last - turned).clamp_(min=0)
        mirrored[..., axis] = turned
    return mirrored


def _clamped(places: Float32[Tensor, "*n 3"], case: Triple) -> Float32[Tensor, "*n 3"]:
    """Move places that lie far from the case to the voxel beyond its edge."""
    return torch.minimum(places.clamp(min=-1), torch.tensor(case, dtype=places.dtype))


def _extremes(
    places: Float32[Tensor, "i j k 3"], straight: bool
) -> tuple[Float32[Tensor, "3"], Float32[Tensor, "3"]]:
    """The least and the largest coordinates of places.

    Args:
        places: The places.
        straight: Whether they lie on straight lines, whose ends are the corners.
    """
    if straight:
        i, j, k = (slice(None, None, max(1, n - 1)) for n in places.shape[:3])
        places = places[i, j, k]
    return places.amin((0, 1, 2)), places.amax((0, 1, 2))


def _find_source(
    places: Float32[Tensor, "i j k 3"],
    least: Float32[Tensor, "3"],
    largest: Float32[Tensor, "3"],
) -> Source:
    """The box in which places lie, and the places in the coordinates of grid_sample."""
    low, high = least.floor(), largest.ceil()
    size = high - low + 1
    # grid_sample counts from -1 to 1 and in the order k, j, i.
    scaled = (places - low).add_(0.5).mul_(2 / size).sub_(1).flip(3)
    return Source(_triple(low), _triple(size), scaled)


def _triple(values: Tensor) -> Triple:
    i, j, k = (int(value) for value in values)
    return i, j, k


def take_image(
    image: Float32[Tensor, "channel si sj sk"], places: Float32[Tensor, "i j k 3"]
) -> Float32[Tensor, "channel i j k"]:
    """Interpolate an image linearly at places of a source."""
    found = F.grid_sample(
        image[None],
        places[None],
        mode="bilinear",
        padding_mode="border",
        align_corners=False,
    )
    return found[0]


def take_reference(
    reference: Int64[Tensor, "si sj sk"],
    weight: Float32[Tensor, "si sj sk"],
    places: Float32[Tensor, "i j k 3"],
) -> tuple[Int64[Tensor, "i j k"], Float32[Tensor, "i j k"]]:
    """Take class and weight of the nearest voxel at places of a source."""
    drawn = torch.stack([reference.float(), weight])
    found = F.grid_sample(
        drawn[None],
        places[None],
        mode="nearest",
        padding_mode="border",
        align_corners=False,
    )[0]
    return found[0].round().long(), found[1].contiguous()


def _uniform(generator: torch.Generator, low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator))


def _matrix(
    params: AugmentationParams,
    spacing: tuple[float, float, float],
    still: int | None,
    generator: torch.Generator,
) -> Float64[np.ndarray, "3 3"]:
    """Draw rotation and scaling, from voxel offsets in a patch to those in a case."""
    matrix = torch.eye(3, dtype=torch.float64)
    for axis in range(3):
        degrees = _uniform(generator, -params.rotation_deg, params.rotation_deg)
        if still is not None and axis != still:
            continue
        a, b = (other for other in range(3) if other != axis)
        turn = torch.eye(3, dtype=torch.float64)
        cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        turn[a, a], turn[a, b], turn[b, a], turn[b, b] = cosine, -sine, sine, cosine
        matrix = matrix @ turn
    fraction = params.scale_fraction
    factor = math.exp(_uniform(generator, -1.0, 1.0) * math.log1p(fraction))
    scale = [1.0 if axis == still else factor for axis in range(3)]
    size = torch.tensor(spacing, dtype=torch.float64)
    turned = matrix @ torch.diag(torch.tensor(scale, dtype=torch.float64))
    matrix = turned * size[None, :] / size[:, None]
    return matrix.numpy()


def displacements(
    shape: tuple[int, int, int],
    *,
    deviation: float,
    spacing: Literal["coarse"] | int,
    slice_axis: int | None,
    generator: torch.Generator,
) -> Float32[Tensor, "i j k 3"]:
    """Draw a smooth random field of displacements along i, j, k, in voxels.

    Args:
        shape: Shape of the patch.
        deviation: Standard deviation of the control points' displacements, in voxels.
        spacing: Spacing of the control points, as in AugmentationParams.
        slice_axis: Axis along which the field is 0 and constant; None in 3-D.
        generator: Generator on the CPU.

    Source:
        Ronneberger 2015, arXiv:1505.04597, section 3.1 (``coarse``, bicubic); Çiçek
        2016, arXiv:1606.06650, section 3.2 (a grid every 32 voxels, B-splines).
    """
    i, j, k = (
        torch.ones(n, 1)
        if axis == slice_axis
        else (_bicubic(n) if spacing == "coarse" else _b_spline(n, spacing))
        for axis, n in enumerate(shape)
    )
    points = (3, i.shape[1], j.shape[1], k.shape[1])
    control = deviation * torch.randn(points, generator=generator)
    if slice_axis is not None:
        control[slice_axis] = 0
    return torch.einsum("xabc,ia,jb,kc->ijkx", control, i, j, k)


def _bicubic(size: int) -> Float32[Tensor, "size 3"]:
    """Weights of three control points: first voxel, middle, last voxel."""
    unit = torch.eye(3)[None, :, :, None]
    return F.interpolate(unit, (size, 1), mode="bicubic", align_corners=True)[
        0, ..., 0
    ].T


def _b_spline(size: int, spacing: int) -> Float32[Tensor, "size points"]:
    """Weights of cubic B-spline coefficients, the second one at the first voxel."""
    place = torch.arange(size, dtype=torch.float64) / spacing
    points = torch.arange(-1, (size - 1) // spacing + 3)
    x = (place[:, None] - points).abs()
    near = 2 / 3 - x**2 + x**3 / 2
    far = (2 - x).clamp(min=0) ** 3 / 6
    return torch.where(x < 1, near, far).float()
