"""Otsu's threshold and a watershed of the distance, in its own environment.

It learns nothing; its settings are chosen by AP on the validation images.
"""

import itertools

import numpy as np
from scipy import ndimage
from skimage.color import rgb2gray
from skimage.feature import peak_local_max
from skimage.filters import gaussian, threshold_otsu
from skimage.measure import label
from skimage.morphology import remove_small_objects
from skimage.segmentation import watershed

from benchmarks.peers.exchange import CpuClock, read_exchange
from segpipe.evaluation.matching import match_instances, sum_matches

SIGMAS, DISTANCES, SIZES = (0, 1, 2), (3, 5, 7, 10), (0, 20, 40)


def find_foreground(image: np.ndarray, sigma: float) -> np.ndarray:
    """Where the nuclei are: the side of the threshold that has less of the image."""
    grey = gaussian(rgb2gray(image), sigma)
    bright = grey > threshold_otsu(grey)
    return bright if bright.mean() < 0.5 else ~bright


def segment(image: np.ndarray, sigma: float, distance: int, size: int) -> np.ndarray:
    """Instance ids: a watershed from the maxima of the smoothed distance."""
    mask = find_foreground(image, sigma)
    depth = gaussian(ndimage.distance_transform_edt(mask), 1)
    peaks = peak_local_max(
        depth, min_distance=distance, labels=label(mask), exclude_border=False
    )
    seeds = np.zeros(mask.shape, dtype=np.int32)
    seeds[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    found = watershed(-depth, seeds, mask=mask)
    return remove_small_objects(found, max_size=size) if size else found


def main() -> None:
    """Choose the settings, then segment the test images."""
    given, clock = read_exchange(), CpuClock()
    pairs = list(zip(*given.pairs("validation"), strict=True))
    scores = {
        settings: sum_matches(
            match_instances(labels, segment(image, *settings))
            for image, labels in pairs
        ).average_precision
        for settings in itertools.product(SIGMAS, DISTANCES, SIZES)
    }
    best = max(scores, key=scores.__getitem__)
    chosen, use = clock.seconds, CpuClock()
    for name in given.names("test"):
        given.write(name, segment(given.image(name), *best))
    given.finish(
        learning_s=0,
        choosing_s=chosen,
        using_s=use.seconds,
        settings=dict(zip(("sigma", "distance", "size"), best, strict=True)),
        validation_ap=scores[best],
    )


if __name__ == "__main__":
    main()
