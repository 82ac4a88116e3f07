import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from segpipe.segmenter.tiles.layout import Along, blend_weights, clip, tile_starts


@given(
    length=st.integers(1, 300),
    window=st.integers(1, 64),
    overlap=st.floats(0, 0.9),
)
def test_tiles_cover_the_volume_and_overlap_enough(length, window, overlap) -> None:
    starts = tile_starts(length, window, overlap)

    assert starts[0] <= 0
    assert starts[-1] + window >= length
    steps = np.diff(starts)
    assert (steps <= max(1, int(window * (1 - overlap)) + 1)).all()
    assert (steps > 0).all()


def test_a_tile_is_trusted_most_in_its_centre() -> None:
    weights = blend_weights(9, "gaussian")

    assert weights.argmax() == 4
    assert float(weights.max()) == pytest.approx(1)
    assert float(weights.min()) >= 1e-3


def test_the_tiles_of_a_part_are_those_that_reach_it_with_their_weights_there() -> None:
    tiles = [Along(start, slice(0, 4), torch.arange(4.0)) for start in (0, 2, 4, 6)]

    found = clip(tiles, slice(3, 6))

    assert [one.start for one in found] == [0, 2, 4]
    assert [one.inside for one in found] == [slice(3, 4), slice(1, 4), slice(0, 2)]
    assert [one.weights.tolist() for one in found] == [[3], [1, 2, 3], [0, 1]]
