"""Images of a few intensities come back; every voxel has one group."""

import itertools
from typing import Any, get_args

import numpy as np
import pytest

from segpipe.evaluation.report.baselines import methods
from segpipe.evaluation.report.baselines.methods import Method, group_voxels
from segpipe.images.grid import Grid
from segpipe.images.volume import Image

SHAPES = [(64, 60, 1), (24, 20, 18)]


def image_of(truth: Any, *, noise: float = 0.2, channels: int = 1) -> Image:
    """Intensities that are the groups, with noise below half of their distance."""
    rng = np.random.default_rng(0)
    array = truth + rng.uniform(-noise, noise, (channels, *truth.shape))
    grid = Grid.from_spacing(truth.shape, (1.0, 1.0, 2.0), "mm")
    return Image(array.astype(np.float32), grid)


def blocks(shape: tuple[int, int, int]) -> np.ndarray:
    """Two boxes on a background."""
    truth = np.zeros(shape, dtype=np.int64)
    for value, low, high in ((1, 0.1, 0.5), (2, 0.6, 0.95)):
        box = [slice(int(low * n), int(high * n)) if n > 1 else slice(1) for n in shape]
        truth[tuple(box)] = value
    return truth


def layers(shape: tuple[int, int, int]) -> np.ndarray:
    """Three layers along the first axis."""
    along = np.arange(shape[0]) * 3 // shape[0]
    return np.broadcast_to(along[:, None, None], shape).copy()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("method", get_args(Method))
def test_layers_of_a_few_intensities_come_back(
    method: Method, shape: tuple[int, int, int], channels: int
) -> None:
    """Seeds: X1."""
    truth = layers(shape)

    found = group_voxels(image_of(truth, channels=channels), method, groups=3)
    assert np.array_equal(found, truth)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("method", ["otsu", "k_means", "slic"])
def test_boxes_come_back(method: Method, shape: tuple[int, int, int]) -> None:
    truth = blocks(shape)

    assert np.array_equal(group_voxels(image_of(truth), method, groups=3), truth)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_watershed_errs_at_corners_alone(shape: tuple[int, int, int]) -> None:
    """On the ridge of the gradient a voxel goes to the side that is flooded first."""
    truth = blocks(shape)
    found = group_voxels(image_of(truth), "watershed", groups=3)

    wrong = np.argwhere(found != truth)
    for at in wrong:
        near = tuple(slice(max(0, n - 1), n + 2) for n in at)
        assert len(np.unique(truth[near])) > 1
    assert len(wrong) < 0.03 * truth.size


@pytest.mark.parametrize("method", get_args(Method))
@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 1, 1), (1, 9, 7), (3, 3, 3)])
def test_every_voxel_of_any_image_has_one_group(
    method: Method, shape: tuple[int, int, int]
) -> None:
    rng = np.random.default_rng(1)
    array = rng.normal(size=(2, *shape)).astype(np.float32)
    array[1] = np.nan  # a channel that the case lacks
    image = Image(array, Grid.from_spacing(shape, (1.0, 1.0, 1.0), "px"))

    found = group_voxels(image, method, groups=3)
    assert found.shape == shape
    assert set(np.unique(found)) <= {0, 1, 2}


def test_k_means_has_the_least_squares_of_all_partitions() -> None:
    """Over all 2^10 partitions of ten voxels by two channels and position."""
    rng = np.random.default_rng(3)
    array = rng.normal(size=(2, 10, 1, 1)).astype(np.float32)
    array[:, 6:] += 3
    image = Image(array, Grid.from_spacing((10, 1, 1), (1.0, 1.0, 1.0), "px"))
    scaled = (array - array.mean((1, 2, 3), keepdims=True)) / array.std(
        (1, 2, 3), keepdims=True
    )
    place = np.linspace(0, methods.POSITION, 10)
    points = np.column_stack([*scaled.reshape(2, 10), place])

    def spread(partition: tuple[int, ...]) -> float:
        of = np.array(partition)
        parts = [points[of == group] for group in {*partition}]
        return sum(float(((part - part.mean(0)) ** 2).sum()) for part in parts)

    best = min(itertools.product((0, 1), repeat=10), key=spread)
    found = tuple(group_voxels(image, "k_means", groups=2).ravel().tolist())
    assert found in (best, tuple(1 - one for one in best))


def test_of_a_large_image_some_voxels_are_grouped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every second voxel stands for eight: the edges of layers lie between them."""
    truth = layers((24, 20, 18))
    monkeypatch.setattr(methods, "LARGEST", 24 * 20 * 18 // 8)

    found = group_voxels(image_of(truth), "otsu", groups=3)
    assert np.array_equal(found, truth)
    assert methods._step((25, 20, 18)) == 3  # 13 x 10 x 9 are too many
