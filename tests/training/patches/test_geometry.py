"""Rotation, scaling and deformation: nothing is lost, and all parts move alike."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from scipy import ndimage

from segpipe.training.patches.augmentation import AugmentationParams, augment
from segpipe.training.patches.cases import TrainingCase
from segpipe.training.patches.geometry import (
    displacements,
    draw_sources,
    take_image,
    take_reference,
    window_at,
)
from segpipe.training.patches.sampling import Spot, cut_patch, output_window

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
ROTATED = {"rotation_deg": 15.0, "scale_fraction": 0.15}
EVERYTHING = {**ROTATED, "elastic_deviation": 2.0, "elastic_spacing": 16}


def patches(shape=(2, 1, 12, 14, 10)):
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(shape, generator=generator)
    reference = (image[:, 0] > 0.5).long()
    weight = torch.ones(reference.shape)
    return image, reference, weight


def case(image: np.ndarray, label: np.ndarray, weight: np.ndarray) -> TrainingCase:
    """A case whose weight is the border term alone."""
    return TrainingCase("case", image, label, weight, None, {}, None)


@dataclass(frozen=True)
class Where:
    """A patch: by default the whole case, for a network without a margin."""

    size: tuple[int, int, int] | None = None
    start: tuple[int, int, int] = (0, 0, 0)
    margin: tuple[int, int, int] = (0, 0, 0)
    place: tuple[int, int, int] | None = None


def move(
    volume: TrainingCase,
    params: AugmentationParams,
    *,
    where: Where,
    seed: int,
    spacing=(1.0, 1.0, 1.0),
    slice_axis=None,
):
    """Image, reference and weight of a patch that is rotated, scaled and deformed."""
    size = where.size or volume.label.shape
    window = window_at(
        where.start,
        output_window(size, where.margin),
        margin=where.margin,
        case=volume.label.shape,
        place=where.place,
    )
    outer, inner = sources = draw_sources(
        params,
        window,
        spacing=spacing,
        slice_axis=slice_axis,
        generator=torch.Generator().manual_seed(seed),
    )
    patch = cut_patch(
        Spot(volume, where.start, where.place, None),
        size,
        margin=where.margin,
        class_weights=np.zeros(9, dtype=np.float32),
        sources=sources,
    )
    assert all(
        n <= most for n, most in zip(outer.size, volume.label.shape, strict=True)
    )
    parts = (torch.from_numpy(part) for part in (patch.reference, patch.weight))
    reference, weight = take_reference(*parts, inner.places)
    return take_image(torch.from_numpy(patch.image), outer.places), reference, weight


def run(
    parts, *, seed=0, spacing=(1.0, 1.0, 1.0), slice_axis=None, where=None, **changes
):
    """Move each of a batch of volumes, then flip them."""
    params = AugmentationParams(**{**NOTHING, **changes})
    moved = [
        move(
            case(image.numpy(), reference.numpy(), weight.numpy()),
            params,
            where=where or Where(),
            seed=100 * seed + n,
            spacing=spacing,
            slice_axis=slice_axis,
        )
        for n, (image, reference, weight) in enumerate(zip(*parts, strict=True))
    ]
    return augment(
        *(torch.stack(part) for part in zip(*moved, strict=True)),
        params=params,
        slice_axis=slice_axis,
        generators=[torch.Generator().manual_seed(n) for n in range(len(moved))],
    )


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


def field(shape, *, spacing, deviation=4.0, slice_axis=None, seed=0):
    return displacements(
        shape,
        deviation=deviation,
        spacing=spacing,
        slice_axis=slice_axis,
        generator=torch.Generator().manual_seed(seed),
    )


def test_a_coarse_field_passes_through_its_three_by_three_samples() -> None:
    """Ronneberger 2015, section 3.1: bicubic between N(0, 10 px) on a 3 x 3 grid.

    Seeds: N5.
    """
    found = field((33, 21, 1), spacing="coarse", deviation=10.0, slice_axis=2)
    control = 10 * torch.randn((3, 3, 3, 1), generator=torch.Generator().manual_seed(0))

    nodes = found[[0, 16, 32]][:, [0, 10, 20], 0]
    for axis in (0, 1):
        assert torch.allclose(nodes[..., axis], control[axis, :, :, 0], atol=1e-4)
    assert not found[..., 2].any()


@pytest.mark.parametrize("shape", [(40, 33, 65), (7, 32, 31)])
def test_a_b_spline_field_is_scipys(shape) -> None:
    """Çiçek 2016, section 3.2: coefficients every 32 voxels.

    Seeds: N9, N13.
    """
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
    """Seeds: N5."""
    draws = torch.stack(
        [field((9, 9, 9), spacing=spacing, seed=seed)[0, 0, 0] for seed in range(300)]
    )

    # A B-spline smooths its coefficients: (2/3)^2 + 2 (1/6)^2 = 1/2 an axis.
    expected = 4.0 if spacing == "coarse" else 4.0 * 0.5**1.5
    assert draws.std().item() == pytest.approx(expected, rel=0.1)


def test_a_field_warps_image_reference_and_weight_alike() -> None:
    """A sphere that shifts and bends: mirrored image and nearest labels agree.

    Seeds: N5, N9.
    """
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
    """Seeds: N9."""
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


def ramp(shape: tuple[int, int, int]) -> TrainingCase:
    """Channels i, j, k, exact under linear interpolation; the weight is i + 1."""
    image = np.indices(shape).astype(np.float32)
    return case(image, np.ones(shape, dtype=np.int16), image[0] + 1)


@pytest.mark.parametrize("changes", [ROTATED, EVERYTHING])
@pytest.mark.parametrize(
    ("size", "margin"),
    [((40, 40, 40), 0), ((64, 64, 16), 0), ((40, 36, 44), 14)],
)
def test_nothing_is_lost_in_the_midst_of_a_volume(size, margin, changes) -> None:
    """Rotation and scaling lost 12 % of a cube's weight, 37 % of a thin patch's.

    Each voxel shows where it came from: within half a voxel image and weight agree,
    in the window of a network with valid convolutions, too.
    """
    volume, margins = ramp((104, 104, 104)), (margin,) * 3
    for seed in range(4):
        image, reference, weight = move(
            volume,
            AugmentationParams(**{**NOTHING, **changes}),
            where=Where(size, (20, 21, 22), margins),
            seed=seed,
        )

        inner = tuple(slice(margin, n - margin) for n in size)
        assert image.shape[1:] == size
        assert (reference == 1).all()
        assert (weight > 0).all()
        assert ((image[0][inner] + 1 - weight).abs() < 0.51).all()


@pytest.mark.parametrize("size", [(40, 40, 40), (64, 64, 16)])
def test_a_patch_turns_about_its_middle_by_at_most_the_angles(size) -> None:
    """The columns of the matrix are orthogonal in mm and of one length, the scale.

    They are read off an image whose channels are the coordinates.
    """
    spacing = np.array([1.0, 1.2, 2.0])
    start = (40, 41, 42)
    thin = size[2] == 16
    volume = ramp((140, 140, 140))
    for seed in range(4):
        image, _, _ = move(
            volume,
            AugmentationParams(**{**NOTHING, **ROTATED}),
            where=Where(size, start),
            seed=seed,
            spacing=tuple(spacing.tolist()),
        )
        corner = image[:, 0, 0, 0]
        steps = [image[:, 1, 0, 0], image[:, 0, 1, 0], image[:, 0, 0, 1]]
        matrix = torch.stack([step - corner for step in steps], dim=1).double().numpy()
        world = spacing[:, None] * matrix / spacing
        scale = np.linalg.norm(world, axis=0)
        middle = [s + (n - 1) / 2 for s, n in zip(start, size, strict=True)]

        centre = (image[:, 0, 0, 0] + image[:, -1, -1, -1]) / 2
        np.testing.assert_allclose(centre, middle, atol=1e-3)
        np.testing.assert_allclose(scale[:2], scale[0], rtol=1e-3)
        assert 1 / 1.16 < scale[0] < 1.16
        turned = world / scale
        np.testing.assert_allclose(turned.T @ turned, np.eye(3), atol=1e-3)
        angle = np.degrees(np.arccos(np.clip((np.trace(turned) - 1) / 2, -1, 1)))
        assert 0.1 < angle < 3 * 15
        if thin:
            np.testing.assert_allclose(world[:, 2], [0, 0, 1], atol=1e-3)
        else:
            np.testing.assert_allclose(scale[2], scale[0], rtol=1e-3)


@pytest.mark.parametrize(("degrees", "share"), [(15.0, 0.95), (180.0, 0.9)])
def test_a_structure_in_a_corner_of_a_volume_stays_in_its_patch(
    degrees: float, share: float
) -> None:
    """An eighth of a ball kept 30 of 107 voxels.

    Where patches grow a structure it has more voxels, so they are compared in volume:
    by the mean over many patches that grow and shrink alike.
    """
    shape = (60, 60, 60)
    distance = np.sqrt(sum((n + 0.5) ** 2 for n in np.indices(shape)))
    label = (distance < 6).astype(np.int16)
    places = np.argwhere(label)
    volume = case(label[None].astype(np.float32), label, np.ones(shape, np.float32))
    rng = np.random.default_rng(0)
    kept = []
    for seed in range(60):
        place = tuple(places[rng.integers(len(places))].tolist())
        _, reference, _ = move(
            volume,
            AugmentationParams(**{**NOTHING, "rotation_deg": degrees}),
            where=Where((40, 40, 40), place=place),
            seed=seed,
        )
        kept.append(int((reference == 1).sum()))

    assert np.mean(kept) > share * label.sum()


def test_beyond_the_volume_the_weight_is_zero_and_the_image_mirrored() -> None:
    """An image of ones is ones everywhere, whatever is cut."""
    shape = (30, 30, 30)
    ones = np.ones(shape, dtype=np.float32)
    volume = case(ones[None], np.ones(shape, dtype=np.int16), ones)
    image, reference, weight = move(
        volume,
        AugmentationParams(**{**NOTHING, "rotation_deg": 45.0}),
        where=Where((40, 40, 40), (-5, -5, -5), (4, 4, 4)),
        seed=1,
    )

    torch.testing.assert_close(image, torch.ones_like(image))
    assert weight.shape == (32, 32, 32)
    assert ((reference == -1) == (weight == 0)).all()
    assert 0 < (weight == 0).float().mean() < 0.5


def test_a_deformation_far_beyond_a_tiny_volume_weighs_nothing() -> None:
    """What is cut stays as small as the case, though all of it may lie outside."""
    params = AugmentationParams(
        **{**NOTHING, "elastic_deviation": 1e4, "elastic_spacing": 64}
    )
    volume = case(*(part[0].numpy() for part in patches((1, 1, 6, 6, 6))))
    for seed in range(4):
        image, reference, weight = move(volume, params, where=Where(), seed=seed)

        assert image.isfinite().all()
        assert (reference == -1).all()
        assert (weight == 0).all()
