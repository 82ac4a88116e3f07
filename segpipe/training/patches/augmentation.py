"""Random transforms of a batch of patches, on the device that trains."""

import math
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from jaxtyping import Float32, Int64
from torch import Tensor
from torch.nn import functional as F

from segpipe.project.params import Params


class AugmentationParams(Params):
    """How much patches vary; 0 or false turns a transform off.

    Attributes:
        flip: Mirror each axis with probability 1/2 (a 2-D network: the two in-plane).
        rotation_deg: Largest rotation about each axis (2-D: in the plane).
        scale_fraction: Sizes vary by up to this fraction, up or down.
        elastic_deviation: Standard deviation of the displacements of control points,
            in voxels; U-Net's is 10 pixels, 3D U-Net's 4 voxels.
        elastic_spacing: Voxels between control points, joined by cubic B-splines (3D
            U-Net: 32); or ``coarse``, 3 a patch and axis, joined bicubically (U-Net).
        brightness: Standard deviation of what is added to a channel.
        contrast_fraction: Factor of a channel varies by up to this fraction.
        noise: Largest standard deviation of the noise.
        histogram_matching: Probability of a patch to get the histogram of another
            training case; V-Net's is 1.
    """

    flip: bool
    rotation_deg: float
    scale_fraction: float
    elastic_deviation: float
    elastic_spacing: Literal["coarse"] | int
    brightness: float
    contrast_fraction: float
    noise: float
    histogram_matching: float


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
    """Transform image, reference and weight by one field, then the grey values.

    Args:
        image: Patches, normalized.
        reference: Class indices; negative where not annotated.
        weight: Of the loss.
        params: How much.
        spacing: Of the prepared grid, so that rotations are rotations in the world.
        slice_axis: The axis of size 1 of a 2-D network's patches, which stays in place.
        generators: One a patch, on the CPU: what becomes of a patch depends neither on
            the device nor on which patches share its batch.
        quantiles: Of each patch's case and of one to look like, if histograms match.

    Returns:
        The three, in the same shapes. Beyond a patch the image is mirrored, and the
        reference is *not annotated* with weight 0: unknown never becomes known.
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
    if params.flip:
        image, reference, weight = _flip(
            image, reference, weight, slice_axis, generators
        )
    if params.histogram_matching:
        assert quantiles is not None, "histograms to match"
        coins = _draw(torch.rand, (1, 1, 1, 1), generators, image.device)
        matched = match_histograms(image, quantiles[:, 0], quantiles[:, 1])
        image = torch.where(coins < params.histogram_matching, matched, image)
    return _vary_grey_values(image, params, generators), reference, weight


def match_histograms(
    image: Float32[Tensor, "B channel i j k"],
    own: Float32[Tensor, "B channel q"],
    other: Float32[Tensor, "B channel q"],
) -> Float32[Tensor, "B channel i j k"]:
    """Grey values with the distribution of another case, by quantiles.

    A value that is the quantile p of its own case becomes the quantile p of the other,
    linearly between the quantiles that are known.

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
    """Rotation and scaling as a matrix on voxel offsets from the patch's centre."""
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
    """Where each voxel of a patch takes its value from, as grid_sample counts."""
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
    """A smooth random field of displacements along i, j, k, in voxels.

    Args:
        shape: Of the patch.
        deviation: Standard deviation of the control points' displacements.
        spacing: Of control points, see AugmentationParams.
        slice_axis: Along which nothing moves or varies; None in 3-D.
        generator: On the CPU.

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
    """Sample the patches at the places, in one interpolation."""
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
    slice_axis: int | None,
    generators: Sequence[torch.Generator],
) -> tuple[Tensor, Tensor, Tensor]:
    images, references, weights = [], [], []
    for n, generator in enumerate(generators):
        coins = torch.rand(3, generator=generator) < 0.5
        axes = [axis - 3 for axis in range(3) if coins[axis] and axis != slice_axis]
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
    """Random numbers of a shape for each patch."""
    drawn = [kind(tuple(shape), generator=generator) for generator in generators]
    return torch.stack(drawn).to(device)


def _vary_grey_values(
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
