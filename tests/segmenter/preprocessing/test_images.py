"""Prepared images are the same in the world, whole and slice by slice."""

import numpy as np
import pytest

from segpipe.images.grid import Grid
from segpipe.images.region import Region
from segpipe.images.volume import Image, ImageStream
from segpipe.segmenter.plan import Normalization
from segpipe.segmenter.preprocessing.images import prepare_image, prepared_parts
from tests.support.preparing import CT, plan, smooth
from tests.support.segmenters import NONE, ZSCORE


def test_a_ramp_stays_a_ramp_in_the_world() -> None:
    """The error is below a seventh of a voxel; a shift of half a voxel would be 0.7."""
    grid = Grid.from_spacing((30, 20, 10), (1.0, 1.5, 3.0), "mm")
    where = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"))
    world = where * np.array(grid.spacing).reshape(3, 1, 1, 1)
    ramp = (2 * world[0] - world[1] + 0.5 * world[2]).astype(np.float32)
    array, prepared = prepare_image(
        Image(ramp[None], grid), plan((0.7, 2.0, 1.1), NONE)
    )

    ends = [np.arange(n) for n in prepared.shape]
    i, j, k = np.meshgrid(*ends, indexing="ij")
    places = np.stack([i, j, k, np.ones_like(i)], axis=-1) @ prepared.affine.T
    expected = 2 * places[..., 0] - places[..., 1] + 0.5 * places[..., 2]
    inside = tuple(slice(3, -3) for _ in range(3))
    assert np.abs(array[0] - expected)[inside].max() < 0.2
    assert prepared.spacing == pytest.approx((0.7, 2.0, 1.1), rel=0.05)


def test_any_stored_orientation_gives_the_same_prepared_image() -> None:
    grid = Grid.from_spacing((12, 10, 8), (1.0, 1.0, 2.0), "mm")
    array = smooth(grid.shape)
    wanted, _ = prepare_image(Image(array[None], grid), plan((1.0, 1.0, 1.0), NONE))
    affine = np.array([[0, 0, -1, 11], [1, 0, 0, 0], [0, -2, 0, 14], [0, 0, 0, 1.0]])
    turned = np.ascontiguousarray(array.transpose(1, 2, 0)[:, ::-1, ::-1])
    other = Grid((10, 8, 12), affine, "mm")
    found, _ = prepare_image(Image(turned[None], other), plan((1.0, 1.0, 1.0), NONE))

    assert np.allclose(found, wanted, atol=1e-6)


@pytest.mark.parametrize("how", [NONE, ZSCORE, CT])
@pytest.mark.parametrize("kind", ["box", "voxels", None])
def test_a_channel_that_an_image_lacks_is_zero_and_changes_no_other(
    how: Normalization, kind: str | None
) -> None:
    """Whole and slice by slice; the other channel is as in an image without it."""
    image = np.full((1, 10, 9, 8), -7, np.float32)
    image[0, 2:8, 1:8, 1:7] = smooth((6, 7, 6))
    grid = Grid.from_spacing((10, 9, 8), (1.0, 1.0, 2.0), "mm")
    both = np.concatenate([image, np.full_like(image, np.nan)])
    background = (-7.0, -1000.0)
    plans = [
        plan((1.3, 1.0, 1.0), *kinds).model_copy(
            update={
                "region": kind
                and Region(kind=kind, background=background[: len(kinds)])
            }
        )
        for kinds in ((how,), (how, CT))
    ]

    alone, _ = prepare_image(Image(image, grid), plans[0])
    found, _ = prepare_image(Image(both, grid), plans[1])
    parts = list(prepared_parts(ImageStream.of(Image(both, grid)), plans[1]))

    assert (found[0] == alone[0]).all()
    assert not found[1].any()
    in_slices = np.concatenate(parts, axis=1)
    assert in_slices.shape[0] == 2
    assert not in_slices[1].any()
    assert np.abs(np.sort(in_slices[0], None) - np.sort(alone[0], None)).max() < 1e-4
