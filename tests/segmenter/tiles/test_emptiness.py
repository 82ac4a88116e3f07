from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from segpipe.segmenter.tiles.emptiness import Blank
from segpipe.segmenter.tiles.sliding_window import slabs
from tests.support.windows import CPU, cut, tiling, whole


def nothing_at(channels: int, reach: int, channel: int | None = 0) -> Blank:
    return Blank(np.zeros(channels, np.float32), reach, 2, channel)


def shares(x: torch.Tensor, margin: tuple[int, int, int]) -> torch.Tensor:
    """A network that is sure of the background where its input is 0, and only there."""
    inner = tuple(slice(m, x.shape[n + 2] - m) for n, m in enumerate(margin))
    found = x[:, :1, inner[0], inner[1], inner[2]].abs()
    return torch.cat([1 - found, found], dim=1)


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(*[st.integers(1, 30)] * 3),
    window=st.tuples(*[st.sampled_from([1, 4, 8])] * 3),
    margin=st.tuples(*[st.sampled_from([0, 2])] * 3),
    box=st.tuples(*[st.tuples(st.integers(0, 29), st.integers(0, 12))] * 3),
    overlap=st.sampled_from([0.0, 0.5]),
    reach=st.sampled_from([0, 3]),
    backwards=st.booleans(),
)
def test_what_is_left_out_changes_no_answer(
    shape, window, margin, box, overlap, reach, backwards
) -> None:
    """Whatever box of the volume holds something, and wherever its tiles lie."""
    image = np.zeros((1, *shape), dtype=np.float32)
    place = tuple(slice(start, start + size) for start, size in box)
    filled = image[0][place]
    image[0][place] = np.random.default_rng(0).uniform(0.1, 1, filled.shape)
    how = replace(tiling(window, margin=margin, overlap=overlap), backwards=backwards)

    result = whole(image, lambda x: shares(x, margin), how, blank=nothing_at(1, reach))

    np.testing.assert_allclose(result[1], image[0], atol=1e-5)
    np.testing.assert_allclose(result[0], 1 - image[0], atol=1e-5)


def test_rows_are_cropped_to_what_their_slices_hold() -> None:
    """Slices 24 to 39 hold something in a square of 16, with a reach of 4.

    Tiles of 16 begin at each 8th slice; those at 8, 16, 24, 32 and 40 come within 4
    voxels of it. There are two along each other axis over the 24 voxels.
    """
    image = np.zeros((1, 64, 64, 64), dtype=np.float32)
    image[0, 24:40, 24:40, 24:40] = 1
    seen = []

    def infer(x: torch.Tensor) -> torch.Tensor:
        seen.extend(x)
        return shares(x, (0, 0, 0))

    whole(image, infer, tiling((16, 16, 16)), blank=nothing_at(1, 4))

    assert len(seen) == 5 * 2 * 2


def test_a_tile_in_a_hole_is_not_computed() -> None:
    """The corners of a plane hold something, so nothing can be cropped."""
    image = np.zeros((1, 8, 64, 64), dtype=np.float32)
    image[0, :, ::63, ::63] = 1
    seen = []

    def infer(x: torch.Tensor) -> torch.Tensor:
        seen.extend(x)
        return shares(x, (0, 0, 0))

    whole(image, infer, tiling((8, 8, 8), overlap=0.0), blank=nothing_at(1, 4))

    assert len(seen) == 4


def test_a_volume_that_holds_nothing_runs_no_network() -> None:
    def infer(x: torch.Tensor) -> torch.Tensor:
        raise AssertionError

    image = np.zeros((2, 20, 18, 16), dtype=np.float32)
    for channel, expected in ((0, 1), (1, 1), (None, 0)):
        blank = nothing_at(2, 4, channel)
        result = whole(image, infer, tiling((8, 8, 8)), blank=blank)

        assert result.sum() == pytest.approx(expected * image[0].size, rel=1e-5)


def test_every_channel_must_hold_nothing() -> None:
    image = np.zeros((2, 16, 16, 16), dtype=np.float32)
    image[1, 8, 8, 8] = 1
    seen = []

    def infer(x: torch.Tensor) -> torch.Tensor:
        seen.extend(x)
        return x

    whole(image, infer, tiling((8, 8, 8), overlap=0.0), blank=nothing_at(2, 0))

    assert len(seen) == 1
    assert float(seen[0][1].sum()) == 1


def test_slices_that_hold_nothing_are_released() -> None:
    """As far as the reach, which is looked at again for the next row of tiles."""
    read = 0

    def parts():
        nonlocal read
        for part in cut(np.zeros((1, 200, 8, 8), dtype=np.float32)):
            read += part.shape[1]
            yield part

    for slab in slabs(
        parts(),
        (200, 8, 8),
        lambda x: x,
        tiling=tiling((8, 8, 8)),
        device=CPU,
        blank=nothing_at(1, 4),
    ):
        assert len(slab.values) <= 8
        assert read <= slab.start + 2 * 8 + 4 + 3
