"""Augmentation: random flips and grey values of patches, on the training device."""

import math
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from jaxtyping import Float32, Int64
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from segpipe.project.params import Params

THIN = 3  # a 3-D patch is thin if its longest side is more than this times its shortest


class AugmentationParams(Params):
    """Section ``augmentation``; 0 or false turns a transform off.

    Attributes:
        flip: Mirror each axis with probability 1/2; for a 2-D network the two axes in
            the plane. A list names the axes: without R, left stays left.
        rotation_deg: Largest rotation about each axis; for a 2-D network, and for thin
            patches (``still_axis``), in the plane.
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
        gamma_fraction: Largest fraction by which the exponent of a channel's grey
            values grows or shrinks.
        blur_deviation: Largest standard deviation of a Gaussian blur, in voxels.
        low_resolution_fraction: Largest fraction by which the voxels of a channel grow
            in simulated low resolution; 1 halves the resolution.
        inversion: Probability that a patch is inverted, light for dark.
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
    # Off in the params of projects that were written before these three.
    gamma_fraction: float = Field(0.0, ge=0)
    blur_deviation: float = Field(0.0, ge=0)
    low_resolution_fraction: float = Field(0.0, ge=0)
    # Off, and left out of records, in those written before it.
    inversion: float = Field(0.0, ge=0, le=1, exclude_if=lambda share: share == 0)

    @property
    def moves_voxels(self) -> bool:
        """Whether patches are rotated, scaled or deformed."""
        return any((self.rotation_deg, self.scale_fraction, self.elastic_deviation))

    @property
    def flipped_axes(self) -> frozenset[int]:
        """The axes of prepared patches, R, A and S, that are mirrored."""
        names = (
            ("RAS" if self.flip else "") if isinstance(self.flip, bool) else self.flip
        )
        return frozenset("RAS".index(name) for name in names)


def still_axis(patch_size: Sequence[int], slice_axis: int | None) -> int | None:
    """The axis that rotation, scaling, deformation and blur leave as it is, if any.

    It is the slice axis of a 2-D network. A patch of a 3-D network is thin if its
    longest side has more than THIN times the voxels of its shortest: it is transformed
    in the plane across its shortest side, of equally short ones the last.

    Source:
        Isensee 2021, doi:10.1038/s41592-020-01008-z: nnU-Net v2 augments such patches
        slice by slice (``do_dummy_2d_data_aug``, ``ANISO_THRESHOLD = 3``).
    """
    if slice_axis is not None:
        return slice_axis
    shortest = min(range(3), key=lambda axis: (patch_size[axis], -axis))
    return shortest if max(patch_size) > THIN * patch_size[shortest] else None


def augment(
    image: Float32[Tensor, "B channel i j k"],
    reference: Int64[Tensor, "B oi oj ok"],
    weight: Float32[Tensor, "B oi oj ok"],
    *,
    params: AugmentationParams,
    slice_axis: int | None,
    generators: Sequence[torch.Generator],
    quantiles: Float32[Tensor, "B 2 channel q"] | None = None,
    zeros_stay: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """Mirror image, reference and weight alike, then vary the intensities.

    Args:
        image: Normalized patches, already rotated, scaled and deformed.
        reference: Class indices of the output window; negative where not annotated.
        weight: Weight of each voxel in the loss.
        params: The section ``augmentation``.
        slice_axis: Axis of size 1 of a 2-D network's patches, which stays in place.
        generators: One generator for each patch, on the CPU, so that a patch depends
            neither on the device nor on the other patches of its batch.
        quantiles: Quantiles of each patch's own case and of another one, if histograms
            are matched.
        zeros_stay: Whether a channel of a patch that is 0 everywhere stays so, because
            its case lacks the channel.

    Returns:
        Image, reference and weight in the same shapes.
    """
    flipped = params.flipped_axes - {slice_axis}
    there = (image != 0).any(dim=4).any(dim=3).any(dim=2) if zeros_stay else None
    if flipped:
        image, reference, weight = _flip(image, reference, weight, flipped, generators)
    if params.histogram_matching:
        assert quantiles is not None, "histograms to match"
        coins = _draw(torch.rand, (1, 1, 1, 1), generators, image.device)
        matched = match_histograms(image, quantiles[:, 0], quantiles[:, 1])
        image = torch.where(coins < params.histogram_matching, matched, image)
    if params.inversion:
        coins = _draw(torch.rand, (1, 1, 1, 1), generators, image.device)
        image = torch.where(coins < params.inversion, invert(image), image)
    still = still_axis(image.shape[2:], slice_axis)
    image = _vary_intensities(image, params, still, generators)
    if there is not None:
        image = torch.where(there[:, :, None, None, None], image, 0.0)
    return image, reference, weight


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


def invert(
    image: Float32[Tensor, "B channel i j k"],
) -> Float32[Tensor, "B channel i j k"]:
    """Mirror the intensities of each channel at the middle of its range in the patch.

    The range stays as it was, so that light and dark change places alone.

    Source:
        PIL.ImageOps.invert, 255 - x, as in RandAugment: Cubuk 2020, arXiv:1909.13719,
        with the range of the patch for that of the type, as normalized values have no
        fixed one.
    """
    axes = (2, 3, 4)
    return image.amin(axes, keepdim=True) + image.amax(axes, keepdim=True) - image


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
    image: Tensor,
    params: AugmentationParams,
    still: int | None,
    generators: Sequence[torch.Generator],
) -> Tensor:
    lead, device = (image.shape[1], 1, 1, 1), image.device
    if params.blur_deviation:
        shares = _draw(torch.rand, lead, generators, device)
        largest = params.blur_deviation
        image = blur(image, largest * shares, largest=largest, still=still)
    if params.low_resolution_fraction:
        shares = _draw(torch.rand, lead, generators, torch.device("cpu"))
        factors = 1 + params.low_resolution_fraction * shares
        image = lower_resolution(image, factors.flatten(1), still=still)
    if params.gamma_fraction:
        turns = 2 * _draw(torch.rand, lead, generators, device) - 1
        image = apply_gamma(image, torch.exp(turns * math.log1p(params.gamma_fraction)))
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


def blur(
    image: Float32[Tensor, "B channel i j k"],
    deviation: Float32[Tensor, "B channel 1 1 1"],
    *,
    largest: float,
    still: int | None,
) -> Float32[Tensor, "B channel i j k"]:
    """Convolve each channel with a Gaussian, whose sum is 1; edges are repeated.

    Args:
        image: Patches.
        deviation: Standard deviation of each channel, in voxels; 0 blurs nothing.
        largest: Upper bound of the deviations; kernels end at 3 times this.
        still: Axis along which nothing is blurred.
    """
    radius = math.ceil(3 * largest)
    offsets = torch.arange(-radius, radius + 1, device=image.device)
    kernel = torch.exp(-((offsets / deviation.clamp(min=1e-6)) ** 2) / 2)
    kernel = kernel / kernel.sum(-1, keepdim=True)
    for axis in range(3):
        if axis == still:
            continue
        pads = [0] * 6
        pads[4 - 2 * axis] = pads[5 - 2 * axis] = radius
        padded = F.pad(image, pads, mode="replicate")
        size = image.shape[2 + axis]
        image = torch.zeros_like(image)
        for place in range(2 * radius + 1):
            part = padded.narrow(2 + axis, place, size)
            image += kernel[..., place : place + 1] * part
    return image


def lower_resolution(
    image: Float32[Tensor, "B channel i j k"],
    factors: Float32[Tensor, "B channel"],
    *,
    still: int | None,
) -> Float32[Tensor, "B channel i j k"]:
    """Sample each channel on larger voxels (nearest) and back again (trilinear).

    Args:
        image: Patches.
        factors: Factor by which the voxels of each channel grow.
        still: Axis along which the resolution stays.

    Source:
        Isensee 2021, doi:10.1038/s41592-020-01008-z, supplementary note 2.
    """
    shape, found = image.shape[2:], image.clone()
    for n, per_channel in enumerate(factors.tolist()):
        for channel, factor in enumerate(per_channel):
            few = [
                size if axis == still else max(1, round(size / factor))
                for axis, size in enumerate(shape)
            ]
            coarse = F.interpolate(
                image[n : n + 1, channel : channel + 1], few, mode="nearest-exact"
            )
            found[n, channel] = F.interpolate(
                coarse, tuple(shape), mode="trilinear", align_corners=False
            )[0, 0]
    return found


def apply_gamma(
    image: Float32[Tensor, "B channel i j k"],
    exponent: Float32[Tensor, "B channel 1 1 1"],
) -> Float32[Tensor, "B channel i j k"]:
    """Raise each channel, scaled from its range to 0 ... 1, to the power of exponent.

    Its mean and standard deviation stay as they were.

    Source:
        Isensee 2021, doi:10.1038/s41592-020-01008-z, supplementary note 2; moments kept
        as in nnU-Net v2 (``retain_stats``).
    """
    axes = (2, 3, 4)
    low, high = image.amin(axes, keepdim=True), image.amax(axes, keepdim=True)
    bent = ((image - low) / (high - low).clamp(min=1e-7)) ** exponent
    means = image.mean(axes, keepdim=True), bent.mean(axes, keepdim=True)
    moments = (
        image.std(axes, keepdim=True, unbiased=False),
        bent.std(axes, keepdim=True, unbiased=False),
    )
    return (bent - means[1]) * (moments[0] / moments[1].clamp(min=1e-7)) + means[0]
