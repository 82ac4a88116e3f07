from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from segpipe.segmenter.sliding_window import (
    Blank,
    Tiling,
    blend_weights,
    slabs,
    tile_starts,
)

CPU = torch.device("cpu")


def tiling(
    window: tuple[int, int, int],
    *,
    margin: tuple[int, int, int] = (0, 0, 0),
    overlap: float = 0.5,
    blending: str = "gaussian",
) -> Tiling:
    return Tiling(window, margin, overlap, blending, batch_size=3)


def cut(image: np.ndarray, each: int = 3) -> list[np.ndarray]:
    return [image[:, start : start + each] for start in range(0, image.shape[1], each)]


def whole(
    image: np.ndarray, infer, how: Tiling, *, blank: Blank | None = None
) -> np.ndarray:
    shape = image.shape[1:]
    parts = list(slabs(cut(image), shape, infer, tiling=how, device=CPU, blank=blank))
    starts = [part.start for part in parts]
    ends = [part.start + len(part.values) for part in parts]
    assert starts == [0, *ends[:-1]]
    assert ends[-1] == image.shape[1]
    return torch.cat([part.values for part in parts]).transpose(0, 1).numpy()


@settings(max_examples=40, deadline=None)
@given(
    shape=st.tuples(*[st.integers(1, 23)] * 3),
    window=st.tuples(*[st.sampled_from([1, 4, 8, 9])] * 3),
    overlap=st.sampled_from([0.0, 0.25, 0.5, 0.75]),
    blending=st.sampled_from(["gaussian", "constant"]),
)
def test_the_identity_gives_the_image_back(shape, window, overlap, blending) -> None:
    image = np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32)

    result = whole(
        image, lambda x: x, tiling(window, overlap=overlap, blending=blending)
    )

    np.testing.assert_allclose(result, image, atol=1e-5)


def test_a_valid_network_sees_mirrored_context_and_gives_each_voxel_once() -> None:
    """The network returns the centre of its input, which is the image itself."""
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
    torch.manual_seed(0)
    convolution = torch.nn.Conv3d(1, 2, 3)  # valid: one voxel of context a side
    image = np.random.default_rng(0).normal(size=(1, 20, 17, 13)).astype(np.float32)
    padded = np.pad(image, [(0, 0), (1, 1), (1, 1), (1, 1)], mode="reflect")
    with torch.inference_mode():
        expected = convolution(torch.from_numpy(padded)[None])[0].numpy()

        result = whole(image, convolution, tiling((8, 8, 8), margin=(1, 1, 1)))

    np.testing.assert_allclose(result, expected, atol=1e-5)


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
