import pytest
import torch

from segpipe.images.grid import Orientation
from segpipe.segmenter.inference.turning import leading, stored, turn, turn_back


@pytest.mark.parametrize("slices_at", [0, 1, 2])
@pytest.mark.parametrize("backwards", [False, True])
def test_tiles_are_turned_to_the_canonical_axes_and_back(
    slices_at: int, backwards: bool
) -> None:
    tiles = torch.arange(24.0).reshape(1, 1, 2, 3, 4)

    turned = turn(tiles, slices_at, backwards=backwards)

    assert leading(tuple(turned.shape[2:]), slices_at) == (2, 3, 4)
    first = turned.select(2 + slices_at, 0)
    torch.testing.assert_close(first, tiles[:, :, -1 if backwards else 0])
    torch.testing.assert_close(turn_back(turned, slices_at, backwards=backwards), tiles)


def test_slices_are_stored_with_k_last() -> None:
    frame = Orientation((2, 0, 1), (False, True, False))
    slices = torch.arange(24).reshape(2, 3, 4).numpy()

    assert stored(frame, slices).tolist() == (
        slices[:, ::-1].transpose(1, 2, 0).tolist()
    )
