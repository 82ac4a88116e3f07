from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from segpipe.segmenter.sliding_window import Tiling, blend_weights, slabs, tile_starts

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


def whole(image: np.ndarray, infer, how: Tiling) -> np.ndarray:
    parts = list(slabs(cut(image), image.shape[1:], infer, tiling=how, device=CPU))
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
