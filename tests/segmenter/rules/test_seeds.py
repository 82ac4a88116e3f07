"""Seeds: touching instances are divided, and every voxel is given away."""

from typing import Literal

import numpy as np
import pytest
from scipy import ndimage

from segpipe.images.instances import components
from segpipe.segmenter.rules.seeds import split_by_seeds


def discs(*centres: tuple[int, int], radius: int = 8) -> np.ndarray:
    i, j = np.ogrid[:40, :40]
    parts = [(i - a) ** 2 + (j - b) ** 2 <= radius**2 for a, b in centres]
    return np.logical_or.reduce(parts)[..., None]


PIXEL = (1.0, 1.0, 1.0)


@pytest.mark.parametrize("axis", [0, 1])
def test_seeds_by_distance_part_two_discs_where_they_meet(axis: int) -> None:
    mask = discs((12, 20), (26, 20)) if axis == 0 else discs((20, 12), (20, 26))
    found = split_by_seeds(
        mask, mask.astype(float), seeds="distance", threshold=4.0, spacing=PIXEL
    )

    halves = np.where(np.indices(mask.shape)[axis] < 19, 1, 2)
    assert ((found > 0) == mask).all()
    assert set(found[mask]) == {1, 2}
    rest = mask & (abs(np.indices(mask.shape)[axis] - 19) > 1)  # near one centre
    assert len({*zip(found[rest], halves[rest], strict=True)}) == 2


def test_the_distance_of_seeds_is_one_in_the_world() -> None:
    """Slices of 5 units: balls that touch along k lie 2 voxels apart there."""
    i, j, k = np.ogrid[:30, :30, :9]
    near = [(i - 15) ** 2 + (j - 15) ** 2 + (5.0 * (k - at)) ** 2 for at in (2, 6)]
    mask = (near[0] <= 11**2) | (near[1] <= 10.5**2)
    both = [
        split_by_seeds(
            mask, mask.astype(float), seeds="distance", threshold=5.0, spacing=spacing
        ).max()
        for spacing in ((1.0, 1.0, 5.0), (1.0, 1.0, 0.2))
    ]

    assert both == [2, 1]


def test_seeds_by_probability_part_what_a_line_of_contact_divides() -> None:
    mask = np.zeros((20, 9, 1), dtype=bool)
    mask[2:18, 2:7] = True
    inside = np.where(mask, 0.9, 0.0)
    inside[9:11] = 0.3

    found = split_by_seeds(
        mask, inside, seeds="probability", threshold=0.5, spacing=PIXEL
    )

    assert ((found > 0) == mask).all()
    assert set(found[2:9][mask[2:9]]) == {1}
    assert set(found[11:18][mask[11:18]]) == {2}


def test_a_component_without_a_seed_stays_an_instance() -> None:
    mask = discs((8, 8), (30, 30), radius=4)
    inside = np.where(mask, 0.9, 0.0)
    inside[20:] *= 0.5

    found = split_by_seeds(
        mask, inside, seeds="probability", threshold=0.8, spacing=PIXEL
    )

    assert (found == components(mask, connectivity="all")).all()


@pytest.mark.parametrize("seeds", ["probability", "distance"])
@pytest.mark.parametrize("shape", [(9, 11, 1), (7, 8, 6)])
def test_every_voxel_of_a_mask_belongs_to_one_part_of_its_component(
    seeds: Literal["probability", "distance"], shape: tuple[int, int, int]
) -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        mask, inside = rng.random(shape) < 0.6, rng.random(shape)
        found = split_by_seeds(mask, inside, seeds=seeds, threshold=0.7, spacing=PIXEL)
        whole = components(mask, connectivity="all")

        assert ((found > 0) == mask).all()
        assert sorted({*found[mask]}) == list(range(1, int(found.max()) + 1))
        for number in range(1, int(found.max()) + 1):
            own = found == number
            assert len({*whole[own]}) == 1
            assert ndimage.label(own, np.ones((3, 3, 3)))[1] == 1
