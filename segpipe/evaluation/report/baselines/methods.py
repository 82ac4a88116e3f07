"""Methods: divide an image into groups of voxels that look alike, without labels."""

import math
import warnings
from collections.abc import Callable
from typing import Literal

import numpy as np
from jaxtyping import Float, Float32, Float64, Int32, Int64
from scipy import ndimage
from scipy.cluster.vq import kmeans2, vq
from skimage.segmentation import slic, watershed

from segpipe.evaluation.report.baselines.grouping import otsu_thresholds
from segpipe.images.grid import Grid
from segpipe.images.volume import Image

Method = Literal["otsu", "k_means", "slic", "watershed"]
Groups = Int64[np.ndarray, "i j k"]
Features = Float32[np.ndarray, "channel i j k"]
LARGEST = 2**23  # voxels; of a larger image every n-th along each axis is grouped
FITTED = 2**16  # voxels on which the centres of k-means are found
ROUNDS = 30  # of k-means
POSITION = 0.5  # weight of the image's longest side against a standard deviation
SIDE = {2: 8, 3: 6}  # voxels along a side of a superpixel
COMPACTNESS = 0.01  # of superpixels, against intensities from 0 to 1


def group_voxels(image: Image, method: Method, *, groups: int) -> Groups:
    """Divide an image into groups of voxels that look alike.

    Args:
        image: The image; channels that are NaN are left out.
        method: ``otsu`` cuts the mean of the channels by thresholds. ``k_means`` puts
            each voxel to the nearest of some centres by all channels and its position.
            ``slic`` and ``watershed`` divide the image into small regions, the first
            by all channels and position, the second along the edges of the mean of the
            channels; Otsu's thresholds then group the regions by their means.
        groups: Number of groups.

    Returns:
        The group of each voxel, by rising mean intensity: a partition. Groups may be
        empty.
    """
    step = _step(image.grid.shape)
    small = image.array[:, ::step, ::step, ::step]
    found = METHODS[method](_features(small), image.grid, groups)
    if step == 1:
        return found
    for axis, size in enumerate(image.grid.shape):
        found = np.repeat(found, step, axis).take(range(size), axis)
    return found


def _step(shape: tuple[int, int, int]) -> int:
    """Every how many voxels along each axis are grouped."""
    step = 1
    while math.prod(-(-size // step) for size in shape) > LARGEST:
        step += 1
    return step


def _features(array: Features) -> Float32[np.ndarray, "known i j k"]:
    """The known channels, each with a mean of 0 and a deviation of 1."""
    known = array[~np.isnan(array[:, 0, 0, 0])]
    mean = known.mean(axis=(1, 2, 3), keepdims=True, dtype=np.float64)
    deviation = known.std(axis=(1, 2, 3), keepdims=True, dtype=np.float64)
    deviation[deviation == 0] = 1.0
    scaled: np.ndarray = ((known - mean) / deviation).astype(np.float32)
    return scaled


def _otsu(features: Features, grid: Grid, groups: int) -> Groups:
    grey = features.mean(axis=0)
    return _cut(grey, otsu_thresholds(grey.ravel(), groups=groups))


def _cut(
    values: Float[np.ndarray, "*shape"], thresholds: Float64[np.ndarray, " threshold"]
) -> Int64[np.ndarray, "*shape"]:
    """The group of each value; one that is equal to a threshold is below it."""
    found: np.ndarray = np.searchsorted(thresholds, values, side="left")
    return found


def _k_means(features: Features, grid: Grid, groups: int) -> Groups:
    """Lloyd's iterations from Otsu's groups, so nothing is drawn at random."""
    start = _otsu(features, grid, groups).ravel()
    points = _points(features, grid)
    chosen = slice(None, None, -(-len(points) // FITTED))
    sample, of = points[chosen], start[chosen]
    centers = np.array([sample[of == one].mean(axis=0) for one in np.unique(of)])
    with warnings.catch_warnings(action="ignore"):  # an empty group keeps its centre
        centers, _ = kmeans2(sample, centers, iter=ROUNDS, minit="matrix")
    grey = features.mean(axis=0).ravel()
    nearest, _ = vq(points, centers)
    sums = np.bincount(nearest, grey, minlength=len(centers))
    counts = np.bincount(nearest, minlength=len(centers))
    order = np.argsort(sums / np.maximum(counts, 1), kind="stable")
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    found: np.ndarray = rank[nearest].reshape(features.shape[1:])
    return found


def _points(features: Features, grid: Grid) -> Float32[np.ndarray, "voxel feature"]:
    """Channels and weighted position of each voxel."""
    shape = features.shape[1:]
    lengths = [size * own for size, own in zip(grid.shape, grid.spacing, strict=True)]
    ends = [POSITION * length / max(lengths) for length in lengths]
    lines = [
        np.linspace(0, end, size, dtype=np.float32)
        for end, size in zip(ends, shape, strict=True)
    ]
    places = np.meshgrid(*lines, indexing="ij")
    return np.stack([*features, *places], axis=-1).reshape(-1, len(features) + 3)


def _slic(features: Features, grid: Grid, groups: int) -> Groups:
    """Superpixels of Achanta 2012, doi:10.1109/TPAMI.2012.120, grouped."""
    shape = features.shape[1:]
    sides = tuple(size for size in shape if size > 1)
    dimensions = 3 if len(sides) == 3 else 2
    if dimensions == 2:  # an image of one slice
        features = features.reshape(len(features), *(*sides, 1, 1)[:2])
    regions = slic(
        np.moveaxis(features, 0, -1),
        n_segments=max(groups, math.prod(shape) // SIDE[dimensions] ** dimensions),
        compactness=COMPACTNESS,
        convert2lab=False,
        enforce_connectivity=False,
        spacing=grid.spacing if dimensions == 3 else None,
        start_label=0,
        channel_axis=-1,
    )
    features = features.reshape(len(features), *shape)
    return _group_regions(regions.reshape(shape), features, groups)


def _watershed(features: Features, grid: Grid, groups: int) -> Groups:
    """Basins of the gradient, each around a local minimum of it, grouped."""
    edges = ndimage.gaussian_gradient_magnitude(features.mean(axis=0), 1.0)
    return _group_regions(watershed(edges), features, groups)


def _group_regions(
    regions: Int32[np.ndarray, "i j k"] | Int64[np.ndarray, "i j k"],
    features: Features,
    groups: int,
) -> Groups:
    """Group regions by the mean of their voxels, each by its size."""
    grey = features.mean(axis=0)
    sizes = np.bincount(regions.ravel()).astype(np.float64)
    sums = np.bincount(regions.ravel(), grey.ravel())
    means = sums / np.maximum(sizes, 1)
    there = sizes > 0
    cuts = otsu_thresholds(means[there], sizes[there], groups=groups)
    found: np.ndarray = _cut(means, cuts)[regions]
    return found


METHODS: dict[Method, Callable[[Features, Grid, int], Groups]] = {
    "otsu": _otsu,
    "k_means": _k_means,
    "slic": _slic,
    "watershed": _watershed,
}
