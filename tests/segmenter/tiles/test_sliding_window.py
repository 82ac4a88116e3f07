from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from segpipe.segmenter.tiles.emptiness import Blank
from segpipe.segmenter.tiles.sliding_window import slabs
from tests.support.windows import CPU, cut, tiling, whole


@settings(max_examples=40, deadline=None)
@given(
    shape=st.tuples(*[st.integers(1, 23)] * 3),
    window=st.tuples(*[st.sampled_from([1, 4, 8, 9])] * 3),
    overlap=st.sampled_from([0.0, 0.25, 0.5, 0.75]),
    blending=st.sampled_from(["gaussian", "constant"]),
)
def test_the_identity_gives_the_image_back(shape, window, overlap, blending) -> None:
    """Seeds: N6."""
    image = np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32)

    result = whole(
        image, lambda x: x, tiling(window, overlap=overlap, blending=blending)
    )

    np.testing.assert_allclose(result, image, atol=1e-5)


def test_a_valid_network_sees_mirrored_context_and_gives_each_voxel_once() -> None:
    """The network returns the centre of its input, which is the image itself.

    Seeds: N6.
    """
    image = np.random.default_rng(0).normal(size=(1, 21, 18, 11)).astype(np.float32)
    how = tiling((8, 8, 8), margin=(5, 5, 5), overlap=0.0, blending="constant")

    result = whole(image, lambda x: x[:, :, 5:-5, 5:-5, 5:-5], how)

    np.testing.assert_allclose(result, image, atol=1e-6)


def test_context_beyond_the_edge_is_numpys_reflection() -> None:
    image = np.arange(7, dtype=np.float32).reshape(1, 7, 1, 1)
    seen = []

    def infer(x: torch.Tensor) -> torch.Tensor:
        seen.append(x.flatten().tolist())
        return x[:, :, 3:-3]

    whole(image, infer, tiling((7, 1, 1), margin=(3, 0, 0)))

    assert seen == [np.pad(image.ravel(), 3, mode="reflect").tolist()]


def test_tiles_of_a_convolution_agree_with_the_whole_volume() -> None:
    """Seeds: N6."""
    torch.manual_seed(0)
    convolution = torch.nn.Conv3d(1, 2, 3)  # valid: one voxel of context a side
    image = np.random.default_rng(0).normal(size=(1, 20, 17, 13)).astype(np.float32)
    padded = np.pad(image, [(0, 0), (1, 1), (1, 1), (1, 1)], mode="reflect")
    with torch.inference_mode():
        expected = convolution(torch.from_numpy(padded)[None])[0].numpy()

        result = whole(image, convolution, tiling((8, 8, 8), margin=(1, 1, 1)))

    np.testing.assert_allclose(result, expected, atol=1e-5)


def test_slices_that_come_last_first_meet_the_same_tiles() -> None:
    """Also where tiles cannot be spread symmetrically, such as 3 of 8 over 13."""
    image = np.random.default_rng(0).normal(size=(1, 13, 9, 9)).astype(np.float32)
    seen: dict[bool, list[np.ndarray]] = {False: [], True: []}

    def look(x: torch.Tensor, backwards: bool) -> torch.Tensor:
        seen[backwards] += [tile.flip(1) if backwards else tile for tile in x]
        return x

    for backwards in (False, True):
        given = image[:, ::-1].copy() if backwards else image
        how = replace(tiling((8, 8, 8)), backwards=backwards)
        whole(given, lambda x, b=backwards: look(x, b), how)

    assert len(seen[False]) == 12
    for tile in seen[False]:
        assert any(torch.equal(tile, other) for other in seen[True])


def test_only_the_slices_that_tiles_need_are_held() -> None:
    """Input is read only up to the current tile, and finished output is passed on."""
    image = np.zeros((1, 200, 8, 8), dtype=np.float32)
    read = 0

    def parts():
        nonlocal read
        for part in cut(image):
            read += part.shape[1]
            yield part

    for slab in slabs(
        parts(), (200, 8, 8), lambda x: x, tiling=tiling((8, 8, 8)), device=CPU
    ):
        assert len(slab.values) <= 8
        assert read <= slab.start + 8 + 3


def test_slices_of_a_2d_network_share_batches() -> None:
    image = np.zeros((1, 10, 8, 8), dtype=np.float32)
    sizes = []

    def infer(x: torch.Tensor) -> torch.Tensor:
        sizes.append(len(x))
        return x

    whole(image, infer, replace(tiling((1, 8, 8)), batch_size=4))

    assert sizes == [4, 4, 2]


@pytest.mark.parametrize("empty", [False, True])
def test_a_box_has_the_values_of_the_whole_and_fewer_tiles(empty: bool) -> None:
    """Tiles of a box lie where those of the volume do; sums add up in their order."""
    image = np.random.default_rng(0).normal(size=(2, 21, 26, 30)).astype(np.float32)
    image[:, :, :9] = image[:, :, :, 25:] = 0
    blank = Blank(np.zeros(2, np.float32), 1, 2, 0) if empty else None
    how = replace(tiling((8, 8, 8)), batch_size=1)
    box = (slice(5, 18), slice(7, 15), slice(11, 27))
    runs = []

    def infer(tiles: torch.Tensor) -> torch.Tensor:
        runs.append(len(tiles))
        return tiles.softmax(1)

    expected = whole(image, infer, how, blank=blank)
    all_tiles = sum(runs)
    runs.clear()
    parts = list(
        slabs(
            cut(image),
            (21, 26, 30),
            infer,
            tiling=how,
            device=CPU,
            blank=blank,
            within=box,
        )
    )
    found = torch.cat([part.values for part in parts]).transpose(0, 1).numpy()

    assert parts[0].start == 5
    np.testing.assert_array_equal(found, expected[:, 5:18, 7:15, 11:27])
    assert 0 < sum(runs) < all_tiles
