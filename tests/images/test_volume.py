import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segpipe.images.grid import Grid
from segpipe.images.volume import Image, ImageStream, RollingSlices, mirrored_window


@given(
    shape=st.tuples(*[st.integers(1, 6)] * 3),
    before=st.tuples(*[st.integers(0, 9)] * 3),
    after=st.tuples(*[st.integers(0, 9)] * 3),
)
def test_a_window_beyond_the_edges_is_numpys_reflection(shape, before, after) -> None:
    array = np.random.default_rng(0).integers(0, 99, (2, *shape))
    size = tuple(n + b + a for n, b, a in zip(shape, before, after, strict=True))

    window = mirrored_window(array, tuple(-b for b in before), size)

    pads = [(0, 0), *zip(before, after, strict=True)]
    np.testing.assert_array_equal(window, np.pad(array, pads, mode="reflect"))


def test_a_window_inside_is_a_copy_of_the_slice() -> None:
    array = np.arange(4 * 5 * 6).reshape(4, 5, 6)

    window = mirrored_window(array, (1, 2, 3), (2, 3, 2))
    window += 1

    np.testing.assert_array_equal(window - 1, array[1:3, 2:5, 3:5])
    assert array[1, 2, 3] == 1 * 30 + 2 * 6 + 3


def test_an_image_that_does_not_fit_its_grid_is_our_mistake() -> None:
    grid = Grid.from_spacing((2, 2, 2), (1.0, 1.0, 1.0), "mm")

    with pytest.raises(AssertionError):
        Image(np.zeros((1, 3, 2, 2), dtype=np.float32), grid)


def test_a_source_gives_an_image_in_slices_as_often_as_asked() -> None:
    array = np.random.default_rng(0).random((2, 3, 4, 50)).astype(np.float32)
    grid = Grid.from_spacing((3, 4, 50), (1.0, 1.0, 1.0), "mm")

    source = ImageStream.of(Image(array, grid))

    assert (source.channels, source.grid) == (2, grid)
    for _ in range(2):
        parts = list(source.read())
        assert max(part.shape[3] for part in parts) < 50
        np.testing.assert_array_equal(np.concatenate(parts, axis=3), array)


@given(data=st.data(), length=st.integers(1, 40), axis=st.integers(0, 2))
def test_a_rolling_window_is_the_slice_of_the_whole(data, length, axis) -> None:
    """However the stream is cut, and however far the window moves on."""
    array = np.moveaxis(np.arange(length * 6).reshape(length, 2, 3), 0, axis)
    cuts = sorted(data.draw(st.sets(st.integers(1, 39), max_size=8)))
    rolling = RollingSlices(iter(np.split(array, cuts, axis=axis)), axis=axis)
    start = 0

    while start < length:
        stop = data.draw(st.integers(start + 1, length))
        found = rolling.window(start, stop)

        np.testing.assert_array_equal(found, array.take(range(start, stop), axis))
        start = data.draw(st.integers(start + 1, length))
