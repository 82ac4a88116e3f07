"""Resampled labels keep classes, instances and annotated slices where they are."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segpipe.segmenter.preprocessing.labels import (
    resample_classes,
    resample_instances,
    vanished_slices,
)
from segpipe.segmenter.preprocessing.resampling import resample_image
from tests.support.phantoms import ball


def test_labels_are_never_interpolated() -> None:
    """Along one axis, the nearer of two voxels has three quarters of a half voxel."""
    classes = np.random.default_rng(1).integers(0, 3, (9, 8, 7)).astype(np.int16)

    assert set(np.unique(resample_classes(classes, (20, 5, 13)))) <= {0, 1, 2}
    for axis in range(3):
        shape = [size * (1 + (n == axis)) for n, size in enumerate(classes.shape)]
        finer = resample_classes(classes, (shape[0], shape[1], shape[2]))
        assert np.array_equal(finer, classes.repeat(2, axis))


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_a_coarser_voxel_has_the_class_of_most_of_its_voxels(factor: int) -> None:
    """Counted voxel by voxel; a tie is the structure's, and the first structure's."""
    rng = np.random.default_rng(factor)
    classes = rng.integers(0, 3, (6 * factor, 5 * factor, 4)).astype(np.int16)
    blocks = classes.reshape(6, factor, 5, factor, 4).transpose(0, 2, 4, 1, 3)
    counts = [(blocks == c).sum(axis=(3, 4)) for c in (1, 2, 0)]

    expected = np.array([1, 2, 0])[np.argmax(counts, axis=0)]
    assert np.array_equal(resample_classes(classes, (6, 5, 4)), expected)


@pytest.mark.parametrize("shape", [(20, 20, 20), (20, 40, 10), (27, 16, 55), (80,) * 3])
def test_a_ball_stays_where_it_is(shape: tuple[int, int, int]) -> None:
    """Nearest voxels shifted it by half a voxel along axes with an even factor."""
    drawn = ball(13, shape=(40, 40, 40), center=(17, 20, 21)).astype(np.int16)
    found = resample_classes(drawn, shape)

    scale = [40 / size for size in shape]
    where = (np.argwhere(found == 1) + 0.5) * scale - 0.5
    assert where.mean(axis=0) == pytest.approx([17, 20, 21], abs=0.1)
    volume = (found == 1).sum() * np.prod(scale)
    assert volume == pytest.approx((drawn == 1).sum(), rel=0.06)


SIZES = st.tuples(*[st.integers(1, 9)] * 3)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), shape=SIZES, goal=SIZES)
def test_a_flipped_case_is_prepared_to_the_flipped_result(
    data: st.DataObject, shape: tuple[int, int, int], goal: tuple[int, int, int]
) -> None:
    """Image, label map with voxels that nobody annotated, and instances."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    axes = data.draw(st.sampled_from([(0,), (1,), (2,), (0, 1), (0, 1, 2)]))
    image = rng.normal(size=(1, *shape)).astype(np.float32)
    ids = rng.integers(0, 4, shape).astype(np.int32)
    classes = np.where(ids > 2, 2, ids > 0).astype(np.int16)
    classes[rng.random(shape) < data.draw(st.sampled_from([0, 0.3, 0.9]))] = -1

    def flip(array: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(np.flip(array, [a + array.ndim - 3 for a in axes]))

    one, other = resample_image(flip(image), goal), flip(resample_image(image, goal))
    assert np.allclose(one, other, atol=1e-5)
    label = resample_classes(classes, goal)
    flipped = resample_classes(flip(classes), goal)
    assert np.array_equal(flipped, flip(label))
    found = resample_instances(ids, classes, label)
    assert np.array_equal(
        resample_instances(flip(ids), flip(classes), flipped), flip(found)
    )


def test_instances_are_where_their_structure_is() -> None:
    """Two that share a voxel are more than the background, together; and id 9 is 2."""
    ids = np.array([1, 1, 3, 9, 9, 9, 0, 70_000]).reshape(8, 1, 1).astype(np.int32)
    drawn = np.array([1, 1, 1, 2, 2, 2, 0, 1]).reshape(8, 1, 1).astype(np.int16)
    for size, label, found in (
        (1, [1], [1]),
        (2, [1, 2], [1, 9]),
        (4, [1, 1, 2, 1], [1, 3, 9, 70_000]),
    ):
        classes = resample_classes(drawn, (size, 1, 1))
        assert classes.ravel().tolist() == label
        assert resample_instances(ids, drawn, classes).ravel().tolist() == found


def test_a_lone_annotated_slice_that_would_vanish_is_found() -> None:
    annotated = np.full((8, 8, 12), -1, dtype=np.int16)
    annotated[:, :, 5] = 0
    annotated[2:5, 2:5, 5] = 1

    assert not vanished_slices(annotated, resample_classes(annotated, (8, 8, 24)))
    assert vanished_slices(annotated, resample_classes(annotated, (8, 8, 4))) == [
        (2, 5)
    ]


@pytest.mark.parametrize("slices", [4, 6, 12])
@pytest.mark.parametrize("index", range(12))
def test_a_lone_annotated_slice_vanishes_only_if_it_is_reported(
    slices: int, index: int
) -> None:
    """Three slices become one: the middle one decides. Two become one: either does."""
    annotated = np.full((8, 8, 12), -1, dtype=np.int16)
    annotated[:, :, index] = 1
    prepared = resample_classes(annotated, (8, 8, slices))

    lost = vanished_slices(annotated, prepared)
    assert bool(lost) == (slices == 4 and index % 3 != 1) == (not (prepared == 1).any())


def test_dense_annotation_loses_nothing_by_coarser_slices() -> None:
    annotated = np.zeros((8, 8, 12), dtype=np.int16)

    assert not vanished_slices(annotated, resample_classes(annotated, (8, 8, 5)))
