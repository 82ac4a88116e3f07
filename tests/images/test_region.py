"""The field of view ends where every voxel has exactly the background value."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segpipe.images.grid import Grid
from segpipe.images.region import (
    Region,
    background_of,
    box_share,
    farthest_voxel,
    held_voxels,
    measure_percentiles,
    measure_region,
    region_voxels,
    usual,
)
from segpipe.images.volume import Image, ImageStream

BACKGROUNDS = (0.0, -1024.0, 0.1)  # 0.1 is no float32
PADS = st.tuples(*[st.tuples(st.integers(0, 20), st.integers(0, 20))] * 3)


def noise(*shape: int) -> np.ndarray:
    values = np.random.default_rng(0).integers(1, 900, shape)
    return values.astype(np.float32)


def padded(array: np.ndarray, pads, values: tuple[float, ...]) -> np.ndarray:
    pairs = zip(array, values, strict=True)
    return np.stack([np.pad(one, pads, constant_values=value) for one, value in pairs])


def stream(array: np.ndarray) -> ImageStream:
    grid = Grid.from_spacing(array.shape[1:], (1.0, 1.0, 1.0), "mm")
    return ImageStream.of(Image(array, grid))


@pytest.mark.parametrize("background", BACKGROUNDS)
def test_the_background_is_what_half_of_the_corners_hold(background: float) -> None:
    """One padded side of one axis is half of the corners."""
    array, value = noise(1, 5, 6, 7), float(np.float32(background))

    assert background_of(array) == (0,)
    for axis in range(3):
        for side in ((1, 0), (0, 1)):
            pads = [side if n == axis else (0, 0) for n in range(3)]
            assert background_of(padded(array, pads, (background,))) == (value,)
    picture = padded(noise(3, 5, 6, 1), ((2, 2), (2, 2), (0, 0)), (value, 7, 255))
    assert background_of(picture) == (value, 7, 255)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([3.0], 3),
        ([4.0, 3.0], 3),
        ([4.0, 3.0, 4.0], 4),
        ([5.0, 1.0, 1.0, 5.0], 1),
        ([1.0, 2.0, 3.0], 0),
    ],
)
def test_of_two_usual_values_the_lower_is_taken(values, expected) -> None:
    assert usual(values) == expected


@settings(max_examples=20, deadline=None)
@given(PADS, st.sampled_from(["box", "voxels"]), st.sampled_from(BACKGROUNDS))
def test_moments_do_not_depend_on_the_padding(pads, kind, value: float) -> None:
    """Two channels; the second is empty in a part that the first fills."""
    array = noise(2, 8, 9, 10)
    array[1, :5] = -3
    array[0, 2:4, 3:6, 4:8], array[1, 2:4, 3:6, 4:8] = value, -3  # a hole
    inside = np.ones(array.shape[1:], bool)
    if kind == "voxels":
        inside[2:4, 3:6, 4:8] = False
    expected = [(one[inside].mean(), one[inside].std()) for one in array.astype(float)]
    region = Region(kind=kind, background=(value, -3.0))

    larger = padded(array, pads, (value, -3))
    found = measure_region(stream(larger), region)

    assert np.array(found) == pytest.approx(np.array(expected), rel=1e-9)
    mask = region_voxels(larger, region, tolerance=0.0)
    assert mask.sum() == inside.sum()
    sizes = zip(pads, inside.shape, strict=True)
    box = tuple(slice(low, low + size) for (low, _), size in sizes)
    np.testing.assert_array_equal(mask[box], inside)


@pytest.mark.parametrize("kind", ["box", "voxels"])
def test_an_empty_image_has_its_background_for_a_mean(kind) -> None:
    array = np.full((1, 4, 4, 40), 7, np.float32)

    region = Region(kind=kind, background=(7.0,))
    assert measure_region(stream(array), region) == [(7, 0)]
    assert not region_voxels(array, region, tolerance=0.0).any()
    assert box_share(array) == 0


def test_the_share_of_the_box_is_that_of_all_channels() -> None:
    """A ball's box; a channel that is empty everywhere changes nothing."""
    array = np.zeros((2, 10, 10, 10), np.float32)
    array[0, 2:7, 4, 1:9] = array[0, 3, 3:7, 5] = 9

    assert box_share(array) == pytest.approx(5 * 4 * 8 / 1000)
    assert box_share(noise(1, 4, 4, 4)) == 1


def test_a_difference_within_the_tolerance_is_empty() -> None:
    array = np.array([1, 1 + 1e-5, 1.1, 1], np.float32).reshape(1, 4, 1, 1)
    region = Region(kind="voxels", background=(1.0,))

    found = region_voxels(array, region, tolerance=1e-4)
    assert found.ravel().tolist() == [False, False, True, False]


def whole(array: np.ndarray) -> np.ndarray:
    return array.round()


def narrow(array: np.ndarray) -> np.ndarray:
    """Values with a long mantissa that differ in its last bits only."""
    return (1000 + np.spacing(np.float32(1000)) * array.round()).astype(np.float32)


@pytest.mark.parametrize(
    "kind", [whole, np.asarray, narrow, np.negative, np.zeros_like]
)
@pytest.mark.parametrize("shape", [(2, 1, 1, 1), (2, 3, 5, 1), (2, 13, 17, 40)])
def test_percentiles_are_exact(kind, shape) -> None:
    """Right values by numpy, of the whole image at once, in double precision."""
    values = np.random.default_rng(1).normal(0, 60, shape).astype(np.float32)
    array = kind(values).astype(np.float32)
    wanted = (0.0, 0.2, 1.0, 33.3, 50.0, 99.8, 100.0)

    found = measure_percentiles(stream(array), (1, 0), wanted)

    expected = [np.percentile(array[n].astype(float), wanted) for n in (1, 0)]
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_whole_numbers_of_eight_bits_are_read_once() -> None:
    array = np.arange(256, dtype=np.float32).reshape(1, 16, 16, 1)
    given, readings = stream(array), []

    def read():
        readings.append(1)
        return given.read()

    found = measure_percentiles(
        ImageStream(given.grid, 1, read), (0,), (0.0, 50.0, 100.0)
    )

    assert found.tolist() == [[0, 127.5, 255]]
    assert len(readings) == 1


def test_a_missing_channel_has_no_percentiles() -> None:
    array = np.stack([noise(4, 4, 4), np.full((4, 4, 4), np.nan, np.float32)])

    found = measure_percentiles(stream(array), (0, 1), (1.0, 99.0))

    assert np.isfinite(found[0]).all()
    assert np.isnan(found[1]).all()


def test_the_farthest_voxel_is_that_of_a_loop_over_all_pairs() -> None:
    rng = np.random.default_rng(0)
    for share in (0.001, 0.01, 0.2):
        held, mask = (rng.random((12, 11, 10)) < n for n in (share, 0.05))
        held[0, 0, 0] = True
        steps = np.abs(np.argwhere(mask)[:, None] - np.argwhere(held)).max(2)

        expected = int(steps.min(1).max())

        assert farthest_voxel(mask, held, limit=20) == expected
        for limit in (1, 2, 3):
            found = farthest_voxel(mask, held, limit=limit)
            assert found == min(expected, limit + 1)


def test_a_mask_in_an_image_that_holds_nothing_is_beyond_the_limit() -> None:
    mask, held = np.zeros((2, 5, 5, 5), dtype=bool)

    assert farthest_voxel(mask, held, limit=3) == 0
    mask[2, 2, 2] = True
    assert farthest_voxel(mask, held, limit=3) == 4


def test_a_voxel_holds_something_if_one_channel_is_not_at_its_floor() -> None:
    """A floor of 0 is exact; of another, a part in 10^6 is rounding."""
    array = np.array([[0, 0, 1e-7, 0], [-3, -3.000003, -3, -3.001]], dtype=np.float32)

    held = held_voxels(array, np.array([0, -3], dtype=np.float32))

    assert held.tolist() == [False, False, True, True]
