import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest
import torch
from scipy import ndimage

from segpipe.training.patches.augmentation import (
    AugmentationParams,
    apply_gamma,
    augment,
    blur,
    invert,
    lower_resolution,
    match_histograms,
    still_axis,
)

NOTHING = {
    "flip": False,
    "rotation_deg": 0.0,
    "scale_fraction": 0.0,
    "elastic_deviation": 0.0,
    "elastic_spacing": "coarse",
    "brightness": 0.0,
    "contrast_fraction": 0.0,
    "noise": 0.0,
    "histogram_matching": 0.0,
}
NEW = {"gamma_fraction": 0.5, "blur_deviation": 1.0, "low_resolution_fraction": 1.0}


def patches(shape=(2, 1, 12, 14, 10)):
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(shape, generator=generator)
    reference = (image[:, 0] > 0.5).long()
    weight = torch.ones(reference.shape)
    return image, reference, weight


def chances(n: int, *, seed: int = 0) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(100 * seed + number) for number in range(n)]


def run(
    parts,
    *,
    seed=0,
    slice_axis=None,
    quantiles=None,
    zeros_stay=False,
    **changes,
):
    return augment(
        *parts,
        params=AugmentationParams(**{**NOTHING, **changes}),
        slice_axis=slice_axis,
        generators=chances(len(parts[0]), seed=seed),
        quantiles=quantiles,
        zeros_stay=zeros_stay,
    )


def test_everything_off_is_the_identity() -> None:
    parts = patches()

    for before, after in zip(parts, run(parts), strict=True):
        assert torch.equal(before, after)


def test_flips_move_image_reference_and_weight_together() -> None:
    image, _, weight = patches((8, 1, 6, 5, 4))
    reference = (image[:, 0] * 1000).long()

    flipped, moved, _ = run((image, reference, weight), flip=True)

    assert torch.equal((flipped[:, 0] * 1000).long(), moved)
    assert not torch.equal(image, flipped)


@pytest.mark.parametrize(
    ("flip", "slice_axis", "mirrored"),
    [
        (True, None, {0, 1, 2}),
        (True, 2, {0, 1}),
        (("A", "S"), None, {1, 2}),
        (("A", "S"), 2, {1}),
        (("R",), None, {0}),
        ((), None, set()),
        (False, None, set()),
    ],
)
def test_flips_are_along_the_named_axes(flip, slice_axis, mirrored) -> None:
    """A mark in one corner of 100 patches shows where each was mirrored."""
    shape = [100, 1, 4, 4, 4]
    if slice_axis is not None:
        shape[2 + slice_axis] = 1
    image, reference, weight = patches(tuple(shape))
    reference = torch.zeros_like(reference)
    reference[:, 0, 0, 0] = 1

    _, moved, _ = run((image, reference, weight), slice_axis=slice_axis, flip=flip)

    places = (moved == 1).nonzero()[:, 1:]
    assert {axis for axis in range(3) if places[:, axis].any()} == mirrored
    assert len(places) == 100


def test_grey_values_vary_but_the_reference_does_not() -> None:
    parts = patches()

    image, reference, weight = run(
        parts, brightness=0.5, contrast_fraction=0.5, noise=0.3, **NEW
    )

    assert not torch.allclose(image, parts[0])
    assert torch.equal(reference, parts[1])
    assert torch.equal(weight, parts[2])


def test_the_same_seed_gives_the_same_patches() -> None:
    parts = patches()
    changes = {"flip": True, "noise": 0.2, "brightness": 0.1, **NEW}

    first, second = run(parts, **changes), run(parts, **changes)

    for one, other in zip(first, second, strict=True):
        assert torch.equal(one, other)


def normal_and_skewed() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A normal image, its quantiles, and those of a log-normal one."""
    rng = np.random.default_rng(0)
    image = rng.normal(size=(1, 1, 24, 24, 24)).astype(np.float32)
    other = np.exp(rng.normal(size=200_000)).astype(np.float32)
    shares = np.linspace(0, 1, 256)
    own, wanted = (
        torch.from_numpy(np.quantile(values, shares).astype(np.float32)[None, None])
        for values in (image, other)
    )
    return torch.from_numpy(image), own, wanted


def test_a_matched_histogram_is_that_of_the_other_case() -> None:
    """exp is the one rising map from the normal to the log-normal distribution.

    Seeds: N13.
    """
    image, own, wanted = normal_and_skewed()

    matched = match_histograms(image, own, wanted)

    inner = image.abs() < 2
    torch.testing.assert_close(matched[inner], image[inner].exp(), rtol=0.1, atol=0.02)


def test_a_case_matched_to_itself_stays_as_it_is() -> None:
    """Seeds: N13."""
    image, own, _ = normal_and_skewed()

    torch.testing.assert_close(match_histograms(image, own, own), image)


def test_a_plateau_of_equal_values_goes_to_the_others_plateau() -> None:
    """Padding and air: a large share of one value."""
    own = torch.tensor([0.0, 0, 0, 1, 2])[None, None]
    other = torch.tensor([5.0, 5, 5, 7, 9])[None, None]
    image = torch.tensor([0.0, 1, 2, 0.5]).view(1, 1, 4, 1, 1)

    matched = match_histograms(image, own, other)

    assert matched.flatten().tolist() == [5, 7, 9, 6]


@pytest.mark.parametrize("probability", [1.0, 0.5])
def test_histograms_are_matched_as_often_as_asked(probability: float) -> None:
    image, own, wanted = normal_and_skewed()
    n = 200
    parts = (
        image[..., :4, :4, :4].repeat(n, 1, 1, 1, 1),
        torch.zeros(n, 4, 4, 4).long(),
        torch.ones(n, 4, 4, 4),
    )
    quantiles = torch.stack([own[0], wanted[0]])[None].repeat(n, 1, 1, 1)

    after, _, _ = run(parts, quantiles=quantiles, histogram_matching=probability)

    changed = (after != parts[0]).flatten(1).any(1).float().mean()
    assert changed.item() == pytest.approx(probability, abs=0.1)


def test_what_becomes_of_a_patch_does_not_depend_on_its_batch() -> None:
    everything = {
        "flip": True,
        "brightness": 0.1,
        "contrast_fraction": 0.2,
        "noise": 0.1,
        **NEW,
    }
    parts = patches((3, 1, 12, 12, 12))
    together = run(parts, **everything)

    alone = augment(
        *(part[1:2] for part in parts),
        params=AugmentationParams(**{**NOTHING, **everything}),
        slice_axis=None,
        generators=chances(3)[1:2],
    )

    for one, every in zip(alone, together, strict=True):
        torch.testing.assert_close(one[0], every[1])


def test_params_of_before_have_the_new_transforms_off() -> None:
    params = AugmentationParams(**NOTHING)

    assert [getattr(params, name) for name in NEW] == [0, 0, 0]


@pytest.mark.parametrize("name", NEW)
def test_each_new_transform_changes_some_patches_and_stays_finite(name: str) -> None:
    parts = patches()
    image, reference, weight = run(parts, **{name: NEW[name]})

    assert image.isfinite().all()
    assert not torch.equal(image, parts[0])
    assert torch.equal(reference, parts[1])
    assert torch.equal(weight, parts[2])


@pytest.mark.parametrize("still", [None, 2])
def test_a_blur_is_scipys_gaussian(still: int | None) -> None:
    image = torch.rand((2, 2, 12, 9, 7), generator=torch.Generator().manual_seed(1))
    sigmas = torch.tensor([[0.5, 1.0], [0.0, 0.8]])

    found = blur(image, sigmas[..., None, None, None], largest=1.0, still=still)

    for n in range(2):
        for channel in range(2):
            sigma = [float(sigmas[n, channel])] * 3
            if still is not None:
                sigma[still] = 0.0
            expected = ndimage.gaussian_filter(
                image[n, channel].double().numpy(), sigma, mode="nearest", radius=3
            )
            np.testing.assert_allclose(found[n, channel], expected, atol=1e-5)


def test_half_the_resolution_is_every_second_voxel_interpolated() -> None:
    """Voxels of twice the size take the second of each pair, at the pair's middle."""
    ramp = torch.arange(8.0) ** 2
    image = ramp[None, None, :, None, None].repeat(1, 2, 1, 5, 4).contiguous()

    found = lower_resolution(image, torch.tensor([[2.0, 1.0]]), still=None)

    expected = np.interp(np.arange(8), [0.5, 2.5, 4.5, 6.5], ramp[1::2])
    np.testing.assert_allclose(found[0, 0, :, 0, 0], expected, atol=1e-5)
    torch.testing.assert_close(found[0, 1], image[0, 1])
    still = lower_resolution(image, torch.tensor([[2.0, 2.0]]), still=0)
    torch.testing.assert_close(still, image)


def test_gamma_is_a_power_of_the_range_that_keeps_mean_and_deviation() -> None:
    image = torch.rand((1, 2, 8, 8, 8), generator=torch.Generator().manual_seed(2)) - 3
    exponents = torch.tensor([[1.0, 1.5]])[..., None, None, None]

    found = apply_gamma(image, exponents)

    torch.testing.assert_close(found[:, 0], image[:, 0])
    before, after = (part[0, 1].double().numpy() for part in (image, found))
    power = ((before - before.min()) / np.ptp(before)) ** 1.5
    assert after.mean() == pytest.approx(before.mean(), abs=1e-4)
    assert after.std() == pytest.approx(before.std(), rel=1e-4)
    np.testing.assert_allclose(np.corrcoef(after.ravel(), power.ravel())[0, 1], 1)
    flat = torch.full((1, 1, 4, 4, 4), 7.0)
    torch.testing.assert_close(apply_gamma(flat, exponents[:, :1] * 2), flat)


@pytest.mark.parametrize(
    ("patch_size", "slice_axis", "still"),
    [
        ((40, 40, 40), None, None),
        ((128, 128, 16), None, 2),
        ((128, 128, 64), None, None),
        ((48, 48, 16), None, None),
        ((16, 128, 64), None, 0),
        ((8, 128, 8), None, 2),
        ((572, 572, 1), 2, 2),
        ((1, 16, 16), 0, 0),
    ],
)
def test_thin_patches_are_transformed_in_their_plane(
    patch_size, slice_axis, still
) -> None:
    """As in nnU-Net: thin is a patch of more than 3 to 1."""
    assert still_axis(patch_size, slice_axis) == still


def test_a_channel_that_a_case_lacks_stays_zero_and_changes_no_other() -> None:
    image, reference, weight = patches((2, 3, 12, 14, 10))
    image[0, 1] = 0
    varied = {**NEW, "brightness": 0.5, "contrast_fraction": 0.3, "noise": 0.5}

    found, *_ = run((image, reference, weight), zeros_stay=True, **varied)
    without, *_ = run((image, reference, weight), **varied)

    assert not found[0, 1].any()
    assert without[0, 1].abs().max() > 0.1
    others = [(0, 0), (0, 2), (1, 0), (1, 1), (1, 2)]
    for place in others:
        assert torch.equal(found[place], without[place])


def test_inversion_is_pillows_where_the_range_is_that_of_the_type() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 8), dtype=np.uint8)
    pixels.flat[:2] = 0, 255
    expected = np.asarray(PIL.ImageOps.invert(PIL.Image.fromarray(pixels)))

    found = invert(torch.from_numpy(pixels.astype(np.float32))[None, None, ..., None])

    np.testing.assert_array_equal(found[0, 0, ..., 0], expected)


def test_all_channels_of_a_patch_are_inverted_or_none() -> None:
    parts = patches((200, 3, 4, 4, 1))

    image, reference, _ = run(parts, slice_axis=2, inversion=0.3)

    turned = (image != parts[0]).flatten(2).any(2)
    assert (turned.all(1) == turned.any(1)).all()
    # 60 of 200 within 4 deviations
    assert abs(int(turned[:, 0].sum()) - 60) < 4 * (200 * 0.3 * 0.7) ** 0.5
    assert torch.equal(image[turned[:, 0]], invert(parts[0])[turned[:, 0]])
    assert torch.equal(reference, parts[1])
