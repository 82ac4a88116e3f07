import numpy as np
import pytest
import torch
from scipy import ndimage

from segpipe.training.patches.augmentation import (
    AugmentationParams,
    augment,
    displacements,
    match_histograms,
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
    spacing=(1.0, 1.0, 1.0),
    slice_axis=None,
    quantiles=None,
    **changes,
):
    return augment(
        *parts,
        params=AugmentationParams(**{**NOTHING, **changes}),
        spacing=spacing,
        slice_axis=slice_axis,
        generators=chances(len(parts[0]), seed=seed),
        quantiles=quantiles,
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


@pytest.mark.parametrize("slice_axis", [0, 1, 2])
def test_a_2d_networks_patches_stay_in_their_plane(slice_axis: int) -> None:
    shape = [4, 1, 9, 9, 9]
    shape[2 + slice_axis] = 1
    image, reference, weight = patches(tuple(shape))

    image, reference, weight = run(
        (image, reference, weight), slice_axis=slice_axis, rotation_deg=30.0, flip=True
    )

    assert list(image.shape) == shape
    assert (weight > 0).any()


def test_what_comes_from_outside_is_not_annotated() -> None:
    image, reference, weight = patches()

    _, turned, weighed = run((image, reference, weight), rotation_deg=45.0)

    assert (turned == -1).any()
    assert ((turned == -1) == (weighed == 0)).all()


def test_unlabelled_voxels_never_become_labelled() -> None:
    image, reference, weight = patches()
    reference[:] = -1
    weight[:] = 0

    _, turned, weighed = run(
        (image, reference, weight), rotation_deg=30.0, scale_fraction=0.3, flip=True
    )

    assert (turned == -1).all()
    assert (weighed == 0).all()


def test_no_class_arises_that_was_not_there() -> None:
    image, reference, weight = patches()
    reference = reference * 5

    _, turned, _ = run((image, reference, weight), rotation_deg=20.0)

    assert set(turned.unique().tolist()) <= {-1, 0, 5}


def test_a_rotation_keeps_a_ball_in_anisotropic_voxels() -> None:
    """Turned in the world, not in voxels: a ball of 2 mm slices stays a ball."""
    i, j, k = torch.meshgrid(
        torch.arange(41.0), torch.arange(41.0), torch.arange(21.0), indexing="ij"
    )
    distance = ((i - 20) ** 2 + (j - 20) ** 2 + (2 * (k - 10)) ** 2).sqrt()
    ball = (distance < 14)[None].long()
    image = ball[:, None].float()

    for seed in range(4):
        _, turned, _ = run(
            (image, ball, torch.ones(ball.shape)),
            spacing=(1.0, 1.0, 2.0),
            rotation_deg=45.0,
            seed=seed,
        )
        turned = turned.clamp(min=0)
        shared = 2 * (turned * ball).sum() / (turned.sum() + ball.sum())
        assert float(shared) > 0.95


def test_grey_values_vary_but_the_reference_does_not() -> None:
    parts = patches()

    image, reference, weight = run(
        parts, brightness=0.5, contrast_fraction=0.5, noise=0.3
    )

    assert not torch.allclose(image, parts[0])
    assert torch.equal(reference, parts[1])
    assert torch.equal(weight, parts[2])


def test_the_same_seed_gives_the_same_patches() -> None:
    parts = patches()
    changes = {"rotation_deg": 20.0, "flip": True, "noise": 0.2, "brightness": 0.1}

    first, second = run(parts, **changes), run(parts, **changes)

    for one, other in zip(first, second, strict=True):
        assert torch.equal(one, other)


def field(shape, *, spacing, deviation=4.0, slice_axis=None, seed=0):
    return displacements(
        shape,
        deviation=deviation,
        spacing=spacing,
        slice_axis=slice_axis,
        generator=torch.Generator().manual_seed(seed),
    )


def test_a_coarse_field_passes_through_its_three_by_three_samples() -> None:
    """Ronneberger 2015, section 3.1: bicubic between N(0, 10 px) on a 3 x 3 grid."""
    found = field((33, 21, 1), spacing="coarse", deviation=10.0, slice_axis=2)
    control = 10 * torch.randn((3, 3, 3, 1), generator=torch.Generator().manual_seed(0))

    nodes = found[[0, 16, 32]][:, [0, 10, 20], 0]
    for axis in (0, 1):
        assert torch.allclose(nodes[..., axis], control[axis, :, :, 0], atol=1e-4)
    assert not found[..., 2].any()


@pytest.mark.parametrize("shape", [(40, 33, 65), (7, 32, 31)])
def test_a_b_spline_field_is_scipys(shape) -> None:
    """Çiçek 2016, section 3.2: coefficients every 32 voxels."""
    found = field(shape, spacing=32)
    points = [(n - 1) // 32 + 4 for n in shape]
    control = 4 * torch.randn((3, *points), generator=torch.Generator().manual_seed(0))
    where = np.meshgrid(*(np.arange(n) / 32 + 1 for n in shape), indexing="ij")

    for axis in range(3):
        expected = ndimage.map_coordinates(
            control[axis].numpy().astype(np.float64),
            where,
            order=3,
            prefilter=False,
            mode="mirror",
        )
        assert np.abs(found[..., axis].numpy() - expected).max() < 1e-4


@pytest.mark.parametrize("spacing", ["coarse", 16])
def test_displacements_have_their_deviation_at_control_points(spacing) -> None:
    draws = torch.stack(
        [field((9, 9, 9), spacing=spacing, seed=seed)[0, 0, 0] for seed in range(300)]
    )

    # A B-spline smooths its coefficients: (2/3)^2 + 2 (1/6)^2 = 1/2 an axis.
    expected = 4.0 if spacing == "coarse" else 4.0 * 0.5**1.5
    assert draws.std().item() == pytest.approx(expected, rel=0.1)


def test_a_field_warps_image_reference_and_weight_alike() -> None:
    """A sphere that shifts and bends: mirrored image and nearest labels agree."""
    axes = torch.meshgrid(*(torch.arange(32.0) - 15.5 for _ in range(3)), indexing="ij")
    radius = sum(a**2 for a in axes).sqrt()
    image = (12 - radius)[None, None]
    reference = (radius < 12).long()[None]
    bent, moved, weight = run(
        (image, reference, torch.ones(reference.shape)),
        elastic_deviation=2.0,
        elastic_spacing=16,
    )

    known = weight[0] > 0
    agree = (bent[0, 0] > 0) == (moved[0] == 1)
    assert agree[known].float().mean() > 0.97
    assert (moved[0][known] != reference[0][known]).float().mean() > 0.01
    assert set(moved.unique().tolist()) <= {-1, 0, 1}
    assert ((moved == -1) == (weight == 0)).all()


def test_unlabelled_never_becomes_labelled() -> None:
    image, reference, weight = patches((4, 1, 16, 16, 16))
    reference[:, :8], weight[:, :8] = -1, 0
    _, moved, after = run(
        (image, reference, weight), elastic_deviation=3.0, elastic_spacing=8
    )

    assert (after[moved == -1] == 0).all()
    assert (after > 0).float().mean() < 0.75


def test_an_elastic_field_is_the_same_for_the_same_seed() -> None:
    first, again, other = (
        run(patches(), elastic_deviation=2.0, elastic_spacing=8, seed=seed)[0]
        for seed in (1, 1, 2)
    )

    assert torch.equal(first, again)
    assert not torch.equal(first, other)


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
    """exp is the one rising map from the normal to the log-normal distribution."""
    image, own, wanted = normal_and_skewed()

    matched = match_histograms(image, own, wanted)

    inner = image.abs() < 2
    torch.testing.assert_close(matched[inner], image[inner].exp(), rtol=0.1, atol=0.02)


def test_a_case_matched_to_itself_stays_as_it_is() -> None:
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
        "rotation_deg": 15.0,
        "scale_fraction": 0.2,
        "elastic_deviation": 2.0,
        "brightness": 0.1,
        "contrast_fraction": 0.2,
        "noise": 0.1,
    }
    parts = patches((3, 1, 12, 12, 12))
    together = run(parts, **everything)

    alone = augment(
        *(part[1:2] for part in parts),
        params=AugmentationParams(**{**NOTHING, **everything}),
        spacing=(1.0, 1.0, 1.0),
        slice_axis=None,
        generators=chances(3)[1:2],
    )

    for one, every in zip(alone, together, strict=True):
        torch.testing.assert_close(one[0], every[1])
