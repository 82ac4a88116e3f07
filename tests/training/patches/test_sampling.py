from dataclasses import replace

import numpy as np

from segpipe.training.patches.cases import TrainingCase
from segpipe.training.patches.sampling import draw_batch, draw_pool


def case(
    label: np.ndarray,
    *,
    border: np.ndarray | None = None,
    separation: np.ndarray | None = None,
) -> TrainingCase:
    places = {
        int(value): np.argwhere(label == value).astype(np.int32)
        for value in np.unique(label[label > 0])
    }
    image = np.indices(label.shape).sum(0)[None].astype(np.float32)
    return TrainingCase("case", image, label, border, separation, places, None)


def draw(
    cases, *, patch=(8, 8, 8), margin=(0, 0, 0), fraction=0.0, weights=(1, 1), n=4
):
    return draw_batch(
        cases,
        patch_size=patch,
        margin=margin,
        class_weights=np.array(weights, dtype=np.float32),
        foreground_fraction=fraction,
        rngs=[np.random.default_rng([0, number]) for number in range(n)],
    )


def test_image_and_reference_are_of_the_same_place() -> None:
    label = np.indices((20, 20, 20)).sum(0).astype(np.int16) % 2

    batch = draw([case(label)], n=8)

    np.testing.assert_array_equal(batch.image[:, 0] % 2, batch.reference)
    assert (batch.weight == 1).all()


def test_a_valid_networks_reference_is_the_centre_of_its_patch() -> None:
    label = np.indices((20, 20, 20)).sum(0).astype(np.int16) % 2

    batch = draw([case(label)], patch=(12, 12, 12), margin=(2, 2, 2))

    assert batch.reference.shape == (4, 8, 8, 8)
    np.testing.assert_array_equal(
        batch.image[:, 0, 2:-2, 2:-2, 2:-2] % 2, batch.reference
    )


def test_a_patch_larger_than_the_volume_is_mirrored_with_weight_zero() -> None:
    label = np.ones((5, 20, 20), dtype=np.int16)

    batch = draw([case(label)], patch=(8, 8, 8))

    assert ((batch.reference == -1) == (batch.weight == 0)).all()
    assert (batch.weight > 0).sum() == 4 * 5 * 8 * 8
    assert np.isfinite(batch.image).all()


def test_patches_on_structures_hold_one() -> None:
    label = np.zeros((40, 40, 40), dtype=np.int16)
    label[0, 0, 0] = 1

    batch = draw([case(label)], fraction=1.0)

    assert (batch.reference == 1).any(axis=(1, 2, 3)).all()


def test_a_case_without_structures_is_drawn_from_anywhere() -> None:
    batch = draw([case(np.zeros((9, 9, 9), dtype=np.int16))], fraction=1.0)

    assert (batch.reference == 0).all()


def test_the_weight_is_the_class_weight_plus_the_border_term() -> None:
    label = np.zeros((8, 8, 8), dtype=np.int16)
    label[4:] = 1
    border = np.full(label.shape, 5, dtype=np.float32)

    batch = draw([case(label, border=border)], weights=(0.5, 2))

    np.testing.assert_array_equal(
        batch.weight, np.where(batch.reference == 1, 7, 5.5).astype(np.float32)
    )


def test_voxels_nobody_annotated_weigh_nothing() -> None:
    label = np.zeros((8, 8, 8), dtype=np.int16)
    label[0] = -1
    label[4:] = -1
    border = np.ones(label.shape, dtype=np.float32)

    batch = draw([case(label, border=border)])

    assert (batch.weight[:, 1:4] == 2).all()
    assert (batch.weight[:, 0] == 0).all()
    assert (batch.weight[:, 4:] == 0).all()


def test_touching_instances_are_learnt_apart() -> None:
    label = np.ones((8, 8, 8), dtype=np.int16)
    separation = np.zeros(label.shape, dtype=bool)
    separation[3] = True

    batch = draw([case(label, separation=separation)])

    assert (batch.reference[:, 3] == 0).all()
    assert (batch.reference[:, 4:] == 1).all()


def test_the_same_seed_draws_the_same_patches() -> None:
    cases = [
        case(np.random.default_rng(n).integers(0, 2, (12, 13, 14)).astype(np.int16))
        for n in range(3)
    ]

    first, second = draw(cases, fraction=0.5), draw(cases, fraction=0.5)

    np.testing.assert_array_equal(first.image, second.image)


def with_background(label: np.ndarray) -> TrainingCase:
    made = case(label)
    return replace(made, places={**made.places, 0: np.argwhere(label == 0)})


def test_balanced_patches_are_centred_on_each_class_alike_often() -> None:
    """However few voxels a class has, and however few cases hold it.

    Seeds: F7.
    """
    common = np.zeros((40, 40, 40), dtype=np.int16)
    common[:20] = 1
    rare = common.copy()
    rare[30, 30, 30] = 2
    cases = [with_background(label) for label in (common, common, rare)]

    batch = draw(cases, fraction=None, weights=(1, 1, 1), patch=(3, 3, 3), n=3000)

    # at the volume's edge the centre may be the neighbour of the voxel drawn
    shares = np.bincount(batch.reference[:, 1, 1, 1]) / 3000
    np.testing.assert_allclose(shares, 1 / 3, atol=0.03)


def test_a_patch_comes_with_the_quantiles_of_its_case_and_of_another() -> None:
    labels = [np.full((8, 8, 8), n, dtype=np.int16) for n in (0, 1)]
    cases = [
        replace(case(label), quantiles=np.full((1, 256), n, dtype=np.float32))
        for n, label in enumerate(labels)
    ]

    batch = draw(cases, n=64)

    assert batch.quantiles is not None
    own = batch.reference[:, 0, 0, 0]
    np.testing.assert_array_equal(batch.quantiles[:, 0, 0, 0], own)
    assert {*batch.quantiles[:, 1, 0, 0]} == {0, 1}


def test_a_group_gives_its_share_of_the_patches_whatever_its_size() -> None:
    """One case of twenty in a quarter of 4,000 patches: 4 deviations of a binomial."""
    label = np.ones((4, 4, 4), np.int16)
    cases = [replace(case(label), name=f"case{n}") for n in range(20)]
    rng = np.random.default_rng(0)

    pools = [draw_pool(cases, frozenset({"case3"}), 0.25, rng) for _ in range(4000)]

    alone = [len(pool) == 1 for pool in pools]
    assert abs(np.mean(alone) - 0.25) < 4 * (0.25 * 0.75 / 4000) ** 0.5
    assert {len(pool) for pool in pools} == {1, 19}
    assert all((pool[0].name == "case3") == (len(pool) == 1) for pool in pools)


def test_without_a_group_no_number_is_drawn() -> None:
    cases = [case(np.ones((4, 4, 4), np.int16))]
    rng, other = np.random.default_rng(0), np.random.default_rng(0)

    assert draw_pool(cases, frozenset(), 0.0, rng) is cases
    assert rng.random() == other.random()
