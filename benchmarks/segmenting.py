"""Segmenters with random weights, and volumes for them to segment."""

from collections.abc import Iterator

import numpy as np
import torch
from scipy import ndimage

from segpipe.images.grid import Triple
from segpipe.networks.build import NetworkSpec, apply_network, build_network
from segpipe.segmenter.plan import DatasetProfile, Normalization, Plan
from segpipe.segmenter.segmenter import Segmenter
from segpipe.segmenter.spec import SegmenterSpec


def build_plan(classes: int) -> Plan:
    """Build a plan for one channel, z-scores and 1 mm."""
    return Plan(
        format_version=1,
        dimensions=3,
        unit="mm",
        spacing=(1.0, 1.0, 1.0),
        channels=("MR",),
        normalization=(
            Normalization(kind="zscore", low=0, high=0, mean=0, standard_deviation=0),
        ),
        structures=tuple(f"structure {n}" for n in range(classes)),
        values=tuple(range(classes)),
        ignore=None,
        profile=DatasetProfile(
            cases=1,
            median_shape=(128, 128, 128),
            median_prepared_shape=(128, 128, 128),
            largest_prepared_shape=(128, 128, 128),
            spacings=((1, 1, 1),) * 3,
            intensities=((0, 0.5, 1),),
            class_frequencies=(1 / classes,) * classes,
        ),
    )


def build_segmenter(
    name: str, *, base_channels: int, classes: int, patch: Triple
) -> Segmenter:
    """Build a network with fixed random weights, centred so that all classes occur."""
    torch.manual_seed(0)
    spec = NetworkSpec(
        name=name,
        in_channels=1,
        out_channels=classes,
        base_channels=base_channels,
        padding="same",
    )
    network = build_network(spec).eval()
    with torch.no_grad():
        image = torch.from_numpy(draw_volume((32, 32, 32)))[None, None]
        logits = apply_network(network, (image - image.mean()) / image.std(), None)
        deviation, mean = torch.std_mean(logits, dim=(0, 2, 3, 4))
        network.classify.weight /= deviation[:, None, None, None, None]
        network.classify.bias -= mean / deviation
    whole = SegmenterSpec(
        format_version=1,
        model="benchmark",
        network=spec,
        plan=build_plan(classes),
        patch_size=patch,
        slice_axis=None,
        temperatures=(1.0,),
    )
    return Segmenter(whole, (network,))


def draw_volume(shape: Triple) -> np.ndarray:
    """Draw smooth structures and noise, like an abdominal scan."""
    rng = np.random.default_rng(0)
    coarse = rng.normal(size=[n // 16 + 1 for n in shape])
    smooth = ndimage.zoom(coarse, 16, order=1)[: shape[0], : shape[1], : shape[2]]
    return (100 * smooth + 20 * rng.normal(size=shape)).astype(np.float32)


def draw_slices(shape: Triple) -> Iterator[np.ndarray]:
    """Draw noise in int16 slice by slice, so that length costs no memory."""
    rng = np.random.default_rng(0)
    for _ in range(shape[2]):
        yield rng.integers(-1000, 1000, (*shape[:2], 1), dtype=np.int16)


def draw_body(shape: Triple) -> Iterator[np.ndarray]:
    """Draw a body of noise in air, an ellipse of 30 % of each slice, in HU."""
    i, j = np.ogrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j]
    inside = (i / 0.74) ** 2 + (j / 0.51) ** 2 < 1
    rng = np.random.default_rng(0)
    for _ in range(shape[2]):
        tissue = rng.integers(-100, 200, shape[:2])
        yield np.where(inside, tissue, -1000)[..., None].astype(np.int16)
