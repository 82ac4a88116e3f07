"""Shrinking: blocks of a volume become their mean, however its slices come."""

import numpy as np
import pytest

from segpipe.segmenter.preprocessing.shrinking import (
    shrink_image,
    shrink_label,
    shrunk_shape,
)

SHAPE, FACTOR = (7, 9, 5), (2, 4, 1)


def blocks(array: np.ndarray, how) -> np.ndarray:
    """What a function makes of each block, one by one."""
    shape = shrunk_shape(array.shape, FACTOR)
    found = np.empty(shape)
    for place in np.ndindex(shape):
        box = tuple(
            slice(p * n, (p + 1) * n) for p, n in zip(place, FACTOR, strict=True)
        )
        found[place] = how(array[box])
    return found


@pytest.mark.parametrize("slices_at", [0, 1, 2])
@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("each", [1, 3, 9])
def test_blocks_become_their_mean(slices_at: int, backwards: bool, each: int) -> None:
    image = np.random.default_rng(0).normal(size=(2, *SHAPE)).astype(np.float32)
    turned = np.moveaxis(image, 1 + slices_at, 1)
    turned = turned[:, ::-1] if backwards else turned
    parts = (turned[:, at : at + each] for at in range(0, SHAPE[slices_at], each))

    found = shrink_image(parts, SHAPE, FACTOR, slices_at=slices_at, backwards=backwards)

    assert found.shape == (2, 4, 3, 5)
    for channel, goal in zip(image, found, strict=True):
        np.testing.assert_allclose(goal, blocks(channel, np.mean), atol=1e-6)


def test_a_block_is_a_structure_where_it_has_one_and_unknown_where_nothing_is_known():
    label = np.random.default_rng(1).choice([-1, 0, 1], SHAPE, p=[0.8, 0.15, 0.05])

    def expected(block: np.ndarray) -> int:
        if (block == 1).any():
            return 1
        return 0 if (block == 0).any() else -1

    found = shrink_label(label, FACTOR)

    np.testing.assert_array_equal(found, blocks(label, expected))
    assert set(np.unique(found)) == {-1, 0, 1}
