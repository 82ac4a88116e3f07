"""Augmentation: random transforms of a batch of patches, on the training device."""

import math
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from jaxtyping import Float32, Int64
from torch import Tensor
from torch.nn import functional as F

from segpipe.project.params import Params


class AugmentationParams(Params):
    """Section ``augmentation``; 0 or false turns a transform off.

    Attributes:
        flip: Mirror each axis with probability 1/2; for a 2-D network the two axes in
            the plane. A list names the axes: without R, left stays left.
        rotation_deg: Largest rotation about each axis; for a 2-D network in the plane.
        scale_fraction: Largest fraction by which sizes grow or shrink.
        elastic_deviation: Standard deviation of the displacements of control points,
            in voxels; 10 pixels in the U-Net paper, 4 voxels in that of 3D U-Net.
        elastic_spacing: Voxels between control points, interpolated by cubic B-splines
            (32 in the 3D U-Net paper); or ``coarse``, 3 control points along each axis
            of a patch, interpolated bicubically (U-Net paper).
        brightness: Standard deviation of the value added to a channel.
        contrast_fraction: Largest fraction by which the contrast of a channel grows or
            shrinks.
        noise: Largest standard deviation of the noise.
        histogram_matching: Probability that a patch gets the histogram of another
            training case; 1 in the V-Net paper.
    """

    flip: bool | tuple[Literal["R", "A", "S"], ...]
    rotation_deg: float
    scale_fraction: float
    elastic_deviation: float
    elastic_spacing: Literal["coarse"] | int
    brightness: float
    contrast_fraction: float
    noise: float
    histogram_matching: float

    @property
    def flipped_axes(self) -> frozenset[int]:
        """The axes of prepared patches, R, A and S, that are mirrored."""
        names = (
            ("RAS" if self.flip else "") if isinstance(self.flip, bool) else self.flip
        )
        return frozenset("RAS".index(name) for name in names)


def augment(
    image: Float32[Tensor, "B channel i j k"],
    reference: Int64[Tensor, "B i j k"],
    weight: Float32[Tensor, "B i j k"],
    *,
    params: AugmentationParams,
    spacing: tuple[float, float, float],
    slice_axis: int | None,
    generators: Sequence[torch.Generator],
    quantiles: Float32[Tensor, "B 2 channel q"] | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Transform image, reference and weight by one field, then the intensities.

    Args:
        image: Normalized patches.
        reference: Class indices; negative where not annotated.
        weight: Weight of each voxel in the loss.
        params: The section ``augmentation``.
        spacing: Spacing of the prepared grid, so that rotations are rotations in the
            world.
        slice_axis: Axis of size 1 of a 2-D network's patches, which stays in place.
        generators: One generator for each patch, on the CPU, so that a patch depends
            neither on the device nor on the other patches of its batch.
        quantiles: Quantiles of each patch's own case and of another one, if histograms
            are matched.

    Returns:
        Image, reference and weight in the same shapes. Beyond a patch the image is
        mirrored, and the reference is *not annotated* with weight 0.
    """
    if params.rotation_deg or params.scale_fraction or params.elastic_deviation:
        places = torch.stack(
            [
                _places(image.shape[2:], params, spacing, slice_axis, generator)
                for generator in generators
            ]
        )
        image, reference, weight = _warp(
            image, reference, weight, places.to(image.device)
        )
    flipped = params.flipped_axes - {slice_axis}
    if flipped:
        image, reference, weight = _flip(image, reference, weight, flipped, generators)
    if params.histogram_matching:
        assert quantiles is not None, "histograms to match"
        coins = _draw(torch.rand, (1, 1, 1, 1), generators, image.device)
        matched = match_histograms(image, quantiles[:, 0], quantiles[:, 1])
        image = torch.where(coins < params.histogram_matching, matched, image)
    return _vary_intensities(image, params, generators), reference, weight


def match_histograms(
    image: Float32[Tensor, "B channel i j k"],
    own: Float32[Tensor, "B channel q"],
    other: Float32[Tensor, "B channel q"],
) -> Float32[Tensor, "B channel i j k"]:
    """Map intensities to the distribution of another case, by quantiles.

    A value at the quantile p of its own case becomes the quantile p of the other case,
    with linear interpolation between the given quantiles.

    Source:
        Milletari 2016, arXiv:1606.04797, section 3.1 (histogram matching to another
        training volume).
    """
    values = image.flatten(2).contiguous()
    low = own[..., :1].contiguous()
    values = torch.maximum(torch.minimum(values, own[..., -1:]), low)
    above = torch.searchsorted(own.contiguous(), values, right=True)
    above = above.clamp(1, own.shape[-1] - 1)
    start, end = own.gather(2, above - 1), own.gather(2, above)
    width = end - start
    share = torch.where(width > 0, (values - start) / width.clamp(min=1e-12), 1.0)
    first, last = other.gather(2, above - 1), other.gather(2, above)
    return (first + share * (last - first)).view_as(image)


def _uniform(generator: torch.Generator, low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator))


def _matrix(
    params: AugmentationParams,
    spacing: tuple[float, float, float],
    slice_axis: int | None,
    generator: torch.Generator,
) -> Tensor:
    """Draw rotation and scaling, a matrix on voxel offsets from the patch's centre."""
    matrix = torch.eye(3, dtype=torch.float64)
    for axis in range(3):
        degrees = _uniform(generator, -params.rotation_deg, params.rotation_deg)
        if slice_axis is not None and axis != slice_axis:
            continue
        a, b = (other for other in range(3) if other != axis)
        turn = torch.eye(3, dtype=torch.float64)
        cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        turn[a, a], turn[a, b], turn[b, a], turn[b, b] = cosine, -sine, sine, cosine
        matrix = matrix @ turn
    fraction = params.scale_fraction
    factor = math.exp(_uniform(generator, -1.0, 1.0) * math.log1p(fraction))
    scale = [1.0 if axis == slice_axis else factor for axis in range(3)]
    size = torch.tensor(spacing, dtype=torch.float64)
    turned = matrix @ torch.diag(torch.tensor(scale, dtype=torch.float64))
    return turned * size[None, :] / size[:, None]


def _places(
    shape: torch.Size,
    params: AugmentationParams,
    spacing: tuple[float, float, float],
    slice_axis: int | None,
    generator: torch.Generator,
) -> Float32[Tensor, "i j k 3"]:
    """Draw where each voxel takes its value from, in the coordinates of grid_sample."""
    matrix = _matrix(params, spacing, slice_axis, generator)
    size = torch.tensor(shape, dtype=torch.float64)
    # grid_sample counts from -1 to 1 and in the order k, j, i.
    theta = torch.zeros(1, 3, 4, dtype=torch.float64)
    theta[0, :, :3] = (matrix * size[None, :] / size[:, None]).flip(0, 1)
    places = F.affine_grid(theta.float(), [1, 1, *shape], align_corners=False)[0]
    if not params.elastic_deviation:
        return places
    moved = displacements(
        (shape[0], shape[1], shape[2]),
        deviation=params.elastic_deviation,
        spacing=params.elastic_spacing,
        slice_axis=slice_axis,
        generator=generator,
    )
    return places + (moved * 2 / size.float()).flip(3)


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


def _warp(
    image: Tensor, reference: Tensor, weight: Tensor, places: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Sample the patches at the places, with a single interpolation."""
    image = F.grid_sample(
        image, places, mode="bilinear", padding_mode="reflection", align_corners=False
    )
    drawn = torch.stack([reference.float() + 1, weight], dim=1)
    drawn = F.grid_sample(
        drawn, places, mode="nearest", padding_mode="zeros", align_corners=False
    )
    return image, drawn[:, 0].round().long() - 1, drawn[:, 1].contiguous()


def _flip(
    image: Tensor,
    reference: Tensor,
    weight: Tensor,
    flipped: frozenset[int],
    generators: Sequence[torch.Generator],
) -> tuple[Tensor, Tensor, Tensor]:
    images, references, weights = [], [], []
    for n, generator in enumerate(generators):
        coins = torch.rand(3, generator=generator) < 0.5
        axes = [axis - 3 for axis in range(3) if coins[axis] and axis in flipped]
        images.append(image[n].flip(axes))
        references.append(reference[n].flip(axes))
        weights.append(weight[n].flip(axes))
    return torch.stack(images), torch.stack(references), torch.stack(weights)


def _draw(
    kind: Callable[..., Tensor],
    shape: Sequence[int],
    generators: Sequence[torch.Generator],
    device: torch.device,
) -> Tensor:
    """Draw random numbers of a shape for each patch."""
    drawn = [kind(tuple(shape), generator=generator) for generator in generators]
    return torch.stack(drawn).to(device)


def _vary_intensities(
    image: Tensor, params: AugmentationParams, generators: Sequence[torch.Generator]
) -> Tensor:
    lead, device = (image.shape[1], 1, 1, 1), image.device
    if params.contrast_fraction:
        turns = 2 * _draw(torch.rand, lead, generators, device) - 1
        image = image * torch.exp(turns * math.log1p(params.contrast_fraction))
    if params.brightness:
        shift = _draw(torch.randn, lead, generators, device)
        image = image + params.brightness * shift
    if params.noise:
        deviation = params.noise * _draw(torch.rand, lead, generators, device)
        noise = _draw(torch.randn, image.shape[1:], generators, device)
        image = image + noise * deviation
    return image
